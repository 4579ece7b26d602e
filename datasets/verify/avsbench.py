"""What can be wrong with the releases of AVSBench's sets S4 and MS3."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import avsbench, media
from bench.datasets.avsbench import MultiRelease, Release, Video
from bench.datasets.verify.media import Progress, check_alike, check_all, check_header, check_picture, check_sound
from bench.datasets.verify.report import EMPTY, SIZE, TWICE, Faults, Report
from bench.errors import DataError

Seen = list[tuple[str, NDArray]]
"""Of masks the video and their values, each once."""


def walk_s4(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Note what is wrong with S4 below `root`; returns the file that the samples are counted in."""
    return _walk(Release, root, report, progress, quick)


def walk_ms3(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Return the same for MS3."""
    return _walk(MultiRelease, root, report, progress, quick)


def _walk(kind: type[Release], root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    problems: list[DataError] = []
    releases = {split: kind(root, split, problems) for split in avsbench.SPLITS}
    report.take(problems)
    report.counts = {split: {"videos": len(release.videos)} for split, release in releases.items()}
    samples = [(release, video) for release in releases.values() for video in release.videos]
    report.counts["all"] = {"videos": len(samples)}
    if categories := {video.category for _, video in samples if video.category}:
        report.counts["all"]["categories"] = len(categories)
    table = samples[0][0].table
    places: dict[Video, str] = {}
    for release, video in samples:
        if video in places:
            wrong = f"is in {places[video]} and {release.split}, expected once"
            report.add(TWICE, table, f"video {video.name}", wrong)
        places[video] = release.split
    seen: dict[str, Seen] = {split: [] for split in releases}

    def check(sample: tuple[Release, Video], faults: Faults) -> int:
        return _check_video(*sample, faults, seen[sample[0].split], quick)

    check_all(samples, check, report, progress, "video")
    for split, masks in seen.items():
        check_alike(sorted(masks, key=lambda mask: mask[0]), table, split, report)
    return table


def _check_video(release: Release, video: Video, faults: Faults, seen: Seen, quick: bool) -> int:
    """Return how many files it looked at; `seen` gets the masks, of which a quick look decodes the first only."""
    masks: list[NDArray | None] = []
    for frame, mask in zip(release.frame_paths(video), release.mask_paths(video), strict=True):
        size = check_picture(frame, video.name, faults, quick)
        mask_size = check_header(mask, video.name, faults)
        if mask_size and not (quick and masks):
            masks.append(faults.attempt(partial(media.read_mask, mask, video.name, avsbench.MASK_SIZE)))
        if size and mask_size and size != mask_size:
            wrong = f"{mask_size[0]} x {mask_size[1]} pixels (height x width), its frame has {size[0]} x {size[1]}"
            faults.add(SIZE, mask, f"sample {video.name}", wrong)
    # In a second nothing may sound. But a video of which no mask has any pixel shows nothing to be found.
    if len(masks) == release.annotated and all(mask is not None and not mask.any() for mask in masks):
        wrong = "nothing but black in any of its masks"
        faults.add(EMPTY, release.mask_paths(video)[0], f"sample {video.name}", wrong)
    seen += [(video.name, np.unique(mask)) for mask in masks if mask is not None]
    check_sound(release.sound_path(video), video.name, faults, avsbench.SECONDS, quick)
    return 2 * release.annotated + 1
