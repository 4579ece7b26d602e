"""Checks of the releases of AVSBench's sets S4 and MS3."""

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

MaskValues = list[tuple[str, NDArray]]
"""The distinct values of masks, each with the name of its video."""


def walk_s4(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Add the faults of S4 below `root` to a report; return the file with the counts."""
    return _walk(Release, root, report, progress, quick)


def walk_ms3(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Add the faults of MS3 below `root` to a report; return the file with the counts."""
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
    splits: dict[Video, str] = {}
    for release, video in samples:
        if video in splits:
            message = f"is in {splits[video]} and {release.split}, expected once"
            report.add(TWICE, table, f"video {video.name}", message)
        splits[video] = release.split
    mask_values: dict[str, MaskValues] = {split: [] for split in releases}

    def check(sample: tuple[Release, Video], faults: Faults) -> int:
        return _check_video(*sample, faults, mask_values[sample[0].split], quick)

    check_all(samples, check, report, progress, "video")
    for split, masks in mask_values.items():
        check_alike(sorted(masks, key=lambda mask: mask[0]), table, split, report)
    return table


def _check_video(release: Release, video: Video, faults: Faults, mask_values: MaskValues, quick: bool) -> int:
    """Check a video and add its masks' values (if `quick`, the first mask's); return the number of files checked."""
    masks: list[NDArray | None] = []
    for frame, mask in zip(release.frame_paths(video), release.mask_paths(video), strict=True):
        size = check_picture(frame, video.name, faults, quick)
        mask_size = check_header(mask, video.name, faults)
        if mask_size and not (quick and masks):
            masks.append(faults.attempt(partial(media.read_mask, mask, video.name, avsbench.MASK_SIZE)))
        if size and mask_size and size != mask_size:
            message = f"{mask_size[0]} x {mask_size[1]} pixels (height x width), its frame has {size[0]} x {size[1]}"
            faults.add(SIZE, mask, f"sample {video.name}", message)
    # A second may be silent, so a single mask may be empty, but not all masks of a video.
    if len(masks) == release.annotated and all(mask is not None and not mask.any() for mask in masks):
        faults.add(EMPTY, release.mask_paths(video)[0], f"sample {video.name}", "all masks of the video are black")
    mask_values += [(video.name, np.unique(mask)) for mask in masks if mask is not None]
    check_sound(release.sound_path(video), video.name, faults, avsbench.SECONDS, quick)
    return 2 * release.annotated + 1
