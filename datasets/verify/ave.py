"""Checks of AVE's release."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from bench.datasets import ave, videos
from bench.datasets.ave import Event, Release
from bench.datasets.timeline import Timing, read_timing
from bench.datasets.verify.media import Progress, check_all, check_length, check_named, check_picture, check_sound
from bench.datasets.verify.report import MISSING, SAME, TIMING, TWICE, Faults, Report
from bench.errors import BenchError, DataError

_PREPARE = "`bench data prepare ave` extracts it, or reports why it cannot"


def walk(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Add the faults of the release below `root` to a report; return the file with the counts."""
    problems: list[DataError] = []
    releases = {split: Release(root, split, problems) for split in ave.SPLITS}
    report.take(problems)
    release = next(iter(releases.values()))
    file = release.folder / ave.ANNOTATIONS
    all_events = ave.read_events(file, [])
    events = {split: split_release.events for split, split_release in releases.items()}
    report.counts = {split: {"events": len(split_events)} for split, split_events in events.items()}
    report.files = {split: release.folder / name for split, name in ave.SPLITS.items()}
    report.categories = frozenset(release.categories)
    report.counts["all"] = {
        "events": len(all_events),
        "videos": len({event.video for event in all_events}),
        "categories": len(release.categories),
    }
    _check_splits(release.folder, all_events, events, report)
    check = _check_extracted
    if not (release.folder / ave.FRAMES).is_dir():
        check = _check_video
        report.remarks.append("frames and sound are not extracted yet: run `bench data prepare ave`")
        try:
            videos.check_library()
        except BenchError as error:
            report.remarks.append(f"videos were not opened: {error}")
            check = _check_presence
    elif not (release.folder / ave.TIMINGS).is_dir():
        report.remarks.append(
            "the times of the frames are unknown: if an earlier version of `bench data prepare` extracted them, "
            "prepare them again, since it chose frames by number instead of time"
        )
    samples = list({event.video: event for split_events in events.values() for event in split_events}.values())
    check_all(samples, lambda event, faults: check(release, event, faults, quick), report, progress, "video")
    return file


def _check_splits(folder: Path, all_events: list[Event], events: dict[str, list[Event]], report: Report) -> None:
    """Add faults for events in two splits and splits without one; and remarks for what the release has, too."""
    event_splits = defaultdict(list)
    video_splits = defaultdict(set)
    for split, split_events in events.items():
        for event in split_events:
            event_splits[event].append(split)
            video_splits[event.video].add(split)
        if all(event.start == event.end for event in split_events):
            message = "every second of every video is background: no event has any length"
            report.add(SAME, folder / ave.SPLITS[split], f"split {split}", message)
    for event, splits in event_splits.items():
        if len(splits) > 1:
            message = f"{event.category} from {event.start} to {event.end} is in {' and '.join(splits)}, expected once"
            report.add(TWICE, folder / ave.SPLITS[splits[1]], f"video {event.video}", message)
    if shared := sum(len(splits) > 1 for splits in video_splits.values()):
        report.remarks.append(f"{shared:,} videos have events in several splits")
    if empty := [event.video for event in all_events if event.start == event.end]:
        report.remarks.append(f"events that end when they start, so all seconds are background: {', '.join(empty)}")
    annotated = set(all_events)
    for split, split_events in events.items():
        if additional := [event.video for event in split_events if event not in annotated]:
            report.remarks.append(
                f"{ave.SPLITS[split]}: {len(additional):,} lines do not occur in {ave.ANNOTATIONS}, such as that of "
                f"{additional[0]}"
            )


def _check_extracted(release: Release, event: Event, faults: Faults, quick: bool) -> int:
    frames, sound, timing_file = _frames_folder(release, event), release.sound_path(event), release.timing_path(event)
    if timing_file.parent.is_dir() and not frames.is_dir() and not sound.is_file():
        faults.add(MISSING, frames, f"sample {event.video}", f"the video was not extracted: {_PREPARE}")
        return 1
    paths = faults.attempt(lambda: release.frame_paths(event), MISSING) or []
    if paths and len(set(paths)) < ave.SECONDS:
        message = f"{len(set(paths))} frames, expected at least {ave.SECONDS}"
        faults.add(MISSING, paths[0].parent, f"sample {event.video}", message)
    for path in dict.fromkeys(paths):
        check_picture(path, event.video, faults, quick)
    check_named(dict.fromkeys(paths), event.video, faults)
    check_sound(sound, event.video, faults, ave.SECONDS, quick)
    fault_count = len(faults.faults)
    if timing := faults.attempt(lambda: read_timing(timing_file, event.video)):
        _check_timing(frames, event, timing, faults)
    elif timing_file.parent.is_dir() and len(faults.faults) == fault_count and paths and sound.is_file():
        message = f"frames were not extracted by this version, unlike those of other videos: {_PREPARE}"
        faults.add(TIMING, timing_file, f"sample {event.video}", message)
    return len(set(paths)) + 1


def _check_presence(release: Release, event: Event, faults: Faults, quick: bool) -> int:
    faults.check_exists(_video_path(release, event), event.video)
    return 1


def _frames_folder(release: Release, event: Event) -> Path:
    return release.folder / ave.FRAMES / event.video


def _video_path(release: Release, event: Event) -> Path:
    return release.folder / ave.VIDEOS / f"{event.video}.mp4"


def _check_video(release: Release, event: Event, faults: Faults, quick: bool) -> int:
    path = _video_path(release, event)
    if not faults.check_exists(path, event.video):
        return 1
    if quick:
        seconds = faults.attempt(lambda: videos.length(path, event.video))
        if seconds is not None:
            check_length(path, event.video, faults, seconds, ave.SECONDS)
    elif clip := faults.attempt(lambda: videos.read_clip(path, event.video, ave.SECONDS)):
        _check_timing(path, event, clip.timing, faults)
    return 1


def _check_timing(path: Path, event: Event, timing: Timing, faults: Faults) -> None:
    """Check that a video has about the expected length, and that each second has its own frame and sound."""
    check_length(path, event.video, faults, timing.end, ave.SECONDS)
    for deviation in timing.deviations():
        faults.add(TIMING, path, f"sample {event.video}", deviation)
