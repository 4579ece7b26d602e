"""Checks of MUSIC-AVQA's release."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from bench.datasets import avqa, videos
from bench.datasets.avqa import Question, Release
from bench.datasets.verify.media import Progress, check_all, check_video
from bench.datasets.verify.report import SAME, TWICE, Faults, Report
from bench.errors import BenchError, DataError


def walk(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Add the faults of the release below `root` to a report; return the file with the counts of the training split."""
    problems: list[DataError] = []
    releases = {split: Release(root, split, problems=problems) for split in avqa.SPLITS}
    report.take(problems)
    questions = [question for release in releases.values() for question in release.questions]
    videos_of = {split: release.videos() for split, release in releases.items()}
    report.counts = {split: {"questions": len(release.questions)} for split, release in releases.items()}
    names = list(dict.fromkeys(name for names in videos_of.values() for name in names))
    report.files = {split: release.file for split, release in releases.items()}
    report.counts["all"] = {
        "questions": len(questions),
        "videos": len(names),
        "answers": len(releases["train"].answers),
    }
    _check_splits(releases, report)
    release = releases["train"]
    check = _check_extracted
    if not (release.folder / avqa.FRAMES).is_dir():
        report.remarks.append("frames and sounds are not extracted yet: run `bench data prepare avqa`")
        check = _check_video
        try:
            videos.check_library()
        except BenchError as error:
            report.remarks.append(f"videos were not opened: {error}")
            check = _check_presence
    check_all(names, lambda name, faults: check(release, name, faults, quick), report, progress, "video")
    return release.file


def _check_splits(releases: dict[str, Release], report: Report) -> None:
    """Add faults for repeated questions and splits of one answer; and remarks for what the release has, too."""
    files: dict[Question, Path] = {}
    splits_of = defaultdict(set)
    for split, release in releases.items():
        for question in release.questions:
            if question in files:
                report.add(TWICE, release.file, question.name, f"is in {files[question].name} as well, expected once")
            files.setdefault(question, release.file)
            splits_of[question.video].add(split)
        if len({question.answer for question in release.questions}) == 1:
            message = f"all questions have the same answer, {release.questions[0].answer!r}"
            report.add(SAME, release.file, f"split {split}", message)
        if release.deleted:
            report.remarks.append(f"{release.file.name}: {release.deleted:,} questions are marked as deleted")
    if shared := sum(len(splits) > 1 for splits in splits_of.values()):
        report.remarks.append(f"{shared:,} videos have questions in several splits")


def _check_extracted(release: Release, name: str, faults: Faults, quick: bool) -> int:
    return check_video(release.folder / avqa.FRAMES / name, release.sound_path(name), name, faults, quick)


def _check_video(release: Release, name: str, faults: Faults, quick: bool) -> int:
    path = avqa.video_path(release.folder, name)
    if faults.check_exists(path, name):
        length = faults.attempt(lambda: videos.length(path, name))
        if length and not quick:
            faults.attempt(lambda: videos.read_clip(path, name, avqa.seconds_of(length)))
    return 1


def _check_presence(release: Release, name: str, faults: Faults, quick: bool) -> int:
    faults.check_exists(avqa.video_path(release.folder, name), name)
    return 1
