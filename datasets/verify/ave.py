"""What can be wrong with AVE's release."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from bench.datasets import ave, videos
from bench.datasets.ave import Event, Release
from bench.datasets.timeline import Timing, read_timing
from bench.datasets.verify.media import Progress, check_all, check_length, check_picture, check_sound
from bench.datasets.verify.report import MISSING, TIMING, TWICE, Faults, Report
from bench.errors import BenchError, DataError

_PREPARE = "`bench data prepare ave` extracts it, or says what is wrong with the video"


def walk(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Note what is wrong below `root`; returns the file that the samples are counted in."""
    problems: list[DataError] = []
    releases = {split: Release(root, split, problems) for split in ave.SPLITS}
    report.take(problems)
    release = next(iter(releases.values()))
    file = release.folder / ave.ANNOTATIONS
    everything = ave.read_events(file, [])
    events = {split: its.events for split, its in releases.items()}
    report.counts = {split: {"events": len(its)} for split, its in events.items()}
    report.categories = frozenset(release.categories)
    report.counts["all"] = {
        "events": len(everything),
        "videos": len({event.video for event in everything}),
        "categories": len(release.categories),
    }
    _check_splits(release.folder, everything, events, report)
    check = _check_extracted
    if not (release.folder / ave.FRAMES).is_dir():
        check = _check_video
        report.remarks.append("frames and sound are not extracted yet: `bench data prepare ave` does it")
        try:
            videos.check_library()
        except BenchError as error:
            report.remarks.append(f"videos were not opened: {error}")
            check = _check_presence
    elif not (release.folder / ave.TIMINGS).is_dir():
        report.remarks.append(
            "nothing says which seconds the frames are of: if an earlier version of `bench data prepare` extracted "
            "them, prepare them again, as it took frames by their place"
        )
    samples = list({event.video: event for its in events.values() for event in its}.values())
    check_all(samples, lambda event, faults: check(release, event, faults, quick), report, progress, "video")
    return file


def _check_splits(folder: Path, everything: list[Event], events: dict[str, list[Event]], report: Report) -> None:
    """No event in two splits; what the release itself is known to have of such things is only remarked."""
    places = defaultdict(list)
    of_videos = defaultdict(set)
    for split, its in events.items():
        for event in its:
            places[event].append(split)
            of_videos[event.video].add(split)
    for event, splits in places.items():
        if len(splits) > 1:
            wrong = f"{event.category} from {event.start} to {event.end} is in {' and '.join(splits)}, expected once"
            report.add(TWICE, folder / ave.SPLITS[splits[1]], f"video {event.video}", wrong)
    if shared := sum(len(splits) > 1 for splits in of_videos.values()):
        report.remarks.append(f"{shared:,} videos have events in several splits")
    if nowhere := [event.video for event in everything if event.start == event.end]:
        report.remarks.append(f"events that end where they start, so that all is background: {', '.join(nowhere)}")
    known = set(everything)
    for split, its in events.items():
        if strange := [event.video for event in its if event not in known]:
            report.remarks.append(
                f"{ave.SPLITS[split]}: {len(strange):,} lines that {ave.ANNOTATIONS} has not, as of {strange[0]}"
            )


def _check_extracted(release: Release, event: Event, faults: Faults, quick: bool) -> int:
    frames, sound, timing_file = _frames_folder(release, event), release.sound_path(event), release.timing_path(event)
    if timing_file.parent.is_dir() and not frames.is_dir() and not sound.is_file():
        faults.add(MISSING, frames, f"sample {event.video}", f"the video was not extracted: {_PREPARE}")
        return 1
    paths = faults.attempt(lambda: release.frame_paths(event), MISSING) or []
    if paths and len(set(paths)) < ave.SECONDS:
        wrong = f"{len(set(paths))} frames, expected are {ave.SECONDS} or more"
        faults.add(MISSING, paths[0].parent, f"sample {event.video}", wrong)
    for path in dict.fromkeys(paths):
        check_picture(path, event.video, faults, quick)
    check_sound(sound, event.video, faults, ave.SECONDS, quick)
    known = len(faults.found)
    if timing := faults.attempt(lambda: read_timing(timing_file, event.video)):
        _check_timing(frames, event, timing, faults)
    elif timing_file.parent.is_dir() and len(faults.found) == known and paths and sound.is_file():
        wrong = f"frames were not extracted by this version, unlike those of other videos: {_PREPARE}"
        faults.add(TIMING, timing_file, f"sample {event.video}", wrong)
    return len(set(paths)) + 1


def _check_presence(release: Release, event: Event, faults: Faults, quick: bool) -> int:
    faults.is_there(_video_path(release, event), event.video)
    return 1


def _frames_folder(release: Release, event: Event) -> Path:
    return release.folder / ave.FRAMES / event.video


def _video_path(release: Release, event: Event) -> Path:
    return release.folder / ave.VIDEOS / f"{event.video}.mp4"


def _check_video(release: Release, event: Event, faults: Faults, quick: bool) -> int:
    path = _video_path(release, event)
    if not faults.is_there(path, event.video):
        return 1
    if quick:
        seconds = faults.attempt(lambda: videos.length(path, event.video))
        if seconds is not None:
            check_length(path, event.video, faults, seconds, ave.SECONDS)
    elif clip := faults.attempt(lambda: videos.read_clip(path, event.video, ave.SECONDS)):
        _check_timing(path, event, clip.timing, faults)
    return 1


def _check_timing(path: Path, event: Event, timing: Timing, faults: Faults) -> None:
    """The video is about as long as it should be, and each second has a frame and sound of its own."""
    check_length(path, event.video, faults, timing.end, ave.SECONDS)
    for deviation in timing.deviations():
        faults.add(TIMING, path, f"sample {event.video}", deviation)
