"""Checks of the release of Ref-AVS."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media, refavs
from bench.datasets.refavs import Expression, Release
from bench.datasets.verify.media import Progress, check_alike, check_all, check_header, check_picture, check_sound
from bench.datasets.verify.report import ABSENT, EMPTY, SIZE, TWICE, Faults, Report
from bench.errors import DataError

MaskValues = list[tuple[str, NDArray]]
"""The distinct values of masks, each with the name of its object."""


def walk(root: Path, report: Report, progress: Progress, quick: bool) -> Path:
    """Add the faults of the release below `root` to a report; return the file with the counts."""
    problems: list[DataError] = []
    releases = {split: Release(root, split, problems) for split in refavs.SPLITS}
    report.take(problems)
    report.counts = {split: _count(release.expressions) for split, release in releases.items()}
    report.counts["all"] = _count([expression for release in releases.values() for expression in release.expressions])
    release = next(iter(releases.values()))
    if lines := release.unassigned:
        report.remarks.append(
            f"{len(lines):,} rows have the split {refavs.UNASSIGNED}, such as line {lines[0]}: they belong to no split "
            "and are left out"
        )
    _check_rows(releases, report)
    mask_values: dict[str, MaskValues] = {split: [] for split in releases}

    def check(folder: tuple[Release, list[Expression]], faults: Faults) -> int:
        return _check_folder(*folder, faults, mask_values[folder[0].split], quick)

    check_all(
        [folder for release in releases.values() for folder in _folders(release)], check, report, progress, "video"
    )
    for split, masks in mask_values.items():
        check_alike(sorted(masks, key=lambda mask: mask[0]), release.table, split, report)
    return release.table


def _count(expressions: list[Expression]) -> dict[str, int]:
    return {"expressions": len(expressions), "videos": len({expression.video for expression in expressions})}


def _check_rows(releases: dict[str, Release], report: Report) -> None:
    """Add faults for videos and expressions in two splits; and a remark for repeated rows, which the release has, too.

    Test splits may share videos: those of what is there and of what is not.
    """
    splits: dict[Expression, str] = {}
    video_splits: dict[str, str] = {}
    repeated = []
    for split, release in releases.items():
        for line, expression in zip(release.lines, release.expressions, strict=True):
            first, video_first = splits.setdefault(expression, split), video_splits.setdefault(expression.video, split)
            if video_first != split and not (video_first.startswith("test") and split.startswith("test")):
                message = f"video {expression.video} is in {video_first} and {split}, expected in one of them"
                report.add(TWICE, release.table, f"line {line}", message)
                video_splits[expression.video] = split
            elif first != split and video_first != split:
                report.add(TWICE, release.table, f"line {line}", f"uid {expression.uid} is in {first} and {split}")
        earlier: set[Expression] = set()
        for line, expression in zip(release.lines, release.expressions, strict=True):
            repeated += [line] if expression in earlier else []
            earlier.add(expression)
    if repeated:
        rows = "1 row repeats" if len(repeated) == 1 else f"{len(repeated):,} rows repeat"
        report.remarks.append(f"{rows} an earlier one, such as line {min(repeated)}; each counts")


def _folders(release: Release) -> list[tuple[Release, list[Expression]]]:
    """Return, for each folder of media, an expression for each object in it."""
    folders: dict[str, dict[int, Expression]] = defaultdict(dict)
    for expression in release.expressions:
        folders[expression.folder].setdefault(expression.object_id, expression)
    return [(release, list(objects.values())) for objects in folders.values()]


def _check_folder(
    release: Release, objects: list[Expression], faults: Faults, mask_values: MaskValues, quick: bool
) -> int:
    """Check a folder's media and masks; add the masks' values, if `quick` the first ones'; return the files checked."""
    expression = objects[0]
    sizes = [check_picture(path, expression.uid, faults, quick) for path in release.frame_paths(expression)]
    check_sound(release.sound_path(expression), expression.uid, faults, refavs.SECONDS, quick)
    for target in objects:
        _check_masks(release, target, sizes, faults, mask_values, quick)
    return refavs.SECONDS * (1 + len(objects)) + 1


def _check_masks(
    release: Release,
    expression: Expression,
    sizes: list[tuple[int, int] | None],
    faults: Faults,
    mask_values: MaskValues,
    quick: bool,
) -> None:
    """Check the masks of an object against the sizes of the frames."""
    entry = f"sample {expression.uid}"
    paths = release.mask_paths(expression)
    masks: list[NDArray | None] = []
    for path, size in zip(paths, sizes, strict=True):
        mask_size = check_header(path, expression.uid, faults)
        if mask_size and not (quick and masks):
            masks.append(faults.attempt(partial(media.read_mask, path, expression.uid, refavs.MASK_SIZE)))
        if size and mask_size and size != mask_size:
            message = f"{mask_size[0]} x {mask_size[1]} pixels (height x width), its frame has {size[0]} x {size[1]}"
            faults.add(SIZE, path, entry, message)
    decoded = [mask for mask in masks if mask is not None]
    if expression.absent:
        if any(mask.any() for mask in decoded):
            faults.add(ABSENT, paths[0].parent, entry, f"a mask is not black, but the category is {refavs.ABSENT}")
        return
    # The object may be out of sight in some frames, but not in all.
    if len(decoded) == refavs.SECONDS and not any(mask.any() for mask in decoded):
        faults.add(EMPTY, paths[0], entry, "all masks of the object are black")
    mask_values += [(expression.uid, np.unique(mask)) for mask in decoded]
