"""Checks of the releases of the RefCOCO family."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media
from bench.datasets.masks import box_elsewhere
from bench.datasets.refcoco import DATASETS, Release, places
from bench.datasets.refer_entries import Entries, Expression, absent_in, read_entries
from bench.datasets.verify.media import Progress, check_alike, check_all
from bench.datasets.verify.report import (
    BOX,
    CATEGORY,
    EMPTY,
    MALFORMED,
    MISSING,
    SIZE,
    TWICE,
    WORDLESS,
    Fault,
    Faults,
    Report,
)
from bench.errors import DataError

_MIN_IOU = 0.75  # of a box and its mask's bounding box
_QUICK = 100  # masks per split that a quick check decodes


def walk(dataset: str, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
    """Add the faults of a data set below `root` to a report; return the file with the counts, None if unusable."""
    problems: list[DataError] = []
    split_by, splits = next(iter(DATASETS[dataset].splits.items()))
    try:
        releases = {split: Release(root, dataset, split, problems=problems, boxes=False) for split in splits}
    except DataError as error:
        _note_absent(places(root, dataset, split_by), error, report)
        return None
    release = next(iter(releases.values()))
    entries = read_entries(dataset, release.instances, release.refs, [])
    report.take([*problems, *entries.box_problems()])
    for file, message in entries.repeated:
        report.faults.append(Fault(TWICE, f"{file}: {message}"))
    if absent := [key for key in entries.absent if key != "bbox"]:
        report.faults.append(Fault(MALFORMED, f"{release.instances}: no annotation has {', '.join(absent)}"))
    by_split = {split: split_release.expressions for split, split_release in releases.items()}
    report.counts = {split: _count(expressions) for split, expressions in by_split.items()}
    all_expressions = [expression for expressions in by_split.values() for expression in expressions]
    report.counts["all"] = _count(all_expressions)
    _check_splits(by_split, release.refs, report, share_images=split_by == "google")
    objects = list({expression.ann_id: expression for expression in all_expressions}.values())
    if "category_id" not in entries.absent:
        for expression in objects:
            _check_category(expression, entries, release, report)
    for expression in all_expressions:
        if not re.search(r"\w", expression.text):
            message = f"no word in its text {expression.text[:40]!r}"
            report.add(WORDLESS, release.refs, f"ref {expression.ref_id}, sent_id {expression.sent_id}", message)
    samples = [sample for expressions in by_split.values() for sample in _subset(expressions)] if quick else objects
    if "segmentation" in entries.absent:
        samples = []
    mask_values: dict[int, NDArray] = {}
    check_all(
        samples, lambda sample, faults: _check_mask(release, sample, faults, mask_values), report, progress, "object"
    )
    for split, expressions in by_split.items():
        ids = [expression.ann_id for expression in expressions if expression.ann_id in mask_values]
        check_alike([(f"annotation {id_}", mask_values[id_]) for id_ in ids], release.instances, split, report)
    pictures = list({expression.image_id: expression for expression in all_expressions}.values())
    check_all(
        pictures, lambda sample, faults: _check_picture(release, sample, faults, quick), report, progress, "image"
    )
    return release.refs


def _note_absent(paths: tuple[Path, Path, Path], error: DataError, report: Report) -> None:
    """Add everything that makes a release unreadable: missing files, and missing keys in the others."""
    absent = absent_in(*paths[:2])
    if not all(path.exists() for path in paths) or not absent:
        report.faults.append(Fault(MISSING, str(error)))
    report.faults += [Fault(MALFORMED, str(problem)) for problem in absent]


def _count(expressions: list[Expression]) -> dict[str, int]:
    return {
        "expressions": len(expressions),
        "objects": len({expression.ref_id for expression in expressions}),
        "images": len({expression.image_id for expression in expressions}),
    }


def _check_splits(expressions: dict[str, list[Expression]], file: Path, report: Report, share_images: bool) -> None:
    """Add faults for expressions that occur twice and for images in several splits unless splits share them."""
    sentence_splits: dict[int, str] = {}
    image_splits: dict[int, str] = {}
    for split, split_expressions in expressions.items():
        for sent_id in (expression.sent_id for expression in split_expressions):
            if sent_id in sentence_splits:
                message = f"is in {sentence_splits[sent_id]} and {split}, expected once"
                report.add(TWICE, file, f"sent_id {sent_id}", message)
            sentence_splits[sent_id] = split
        for image_id in dict.fromkeys(expression.image_id for expression in split_expressions):
            if image_id in image_splits and not share_images:
                message = f"is in {image_splits[image_id]} and {split}, expected in one split"
                report.add(TWICE, file, f"image_id {image_id}", message)
            image_splits[image_id] = split


def _check_category(expression: Expression, entries: Entries, release: Release, report: Report) -> None:
    annotation_id, ref_id = entries.categories[expression.ann_id], expression.category_id
    known = entries.known_categories
    if known and not (isinstance(annotation_id, int) and annotation_id in known):
        message = f"category_id {reprlib.repr(annotation_id)} is not one of the file's {len(known)} categories"
        report.add(CATEGORY, release.instances, f"annotation {expression.ann_id}", message)
    elif annotation_id != ref_id:
        message = f"category_id {ref_id}, expected {reprlib.repr(annotation_id)} as in annotation {expression.ann_id}"
        report.add(CATEGORY, release.refs, f"ref {expression.ref_id}", message)


def _subset(expressions: list[Expression]) -> list[Expression]:
    """Return at most `_QUICK` of the expressions, spread evenly."""
    return expressions[:: -(-len(expressions) // _QUICK) or 1]


def _check_mask(release: Release, expression: Expression, faults: Faults, mask_values: dict[int, NDArray]) -> int:
    """Check that a mask can be decoded, is not empty and matches its box; add its distinct values to `mask_values`."""
    mask = faults.attempt(lambda: release.mask(expression), MALFORMED)
    if mask is None:
        return 0
    mask_values[expression.ann_id] = np.unique(mask)
    entry = f"annotation {expression.ann_id}"
    if not mask.any():
        faults.add(EMPTY, release.instances, entry, "its mask is empty")
        return 0
    if expression.box and (bounds := box_elsewhere(expression.box, mask, _MIN_IOU)):
        expected = f"{bounds} (x, y, width, height), its mask's bounding box"
        faults.add(BOX, release.instances, entry, f"bbox {list(expression.box)}, expected about {expected}")
    return 0


def _check_picture(release: Release, expression: Expression, faults: Faults, quick: bool) -> int:
    """Check that a picture exists, has the size that instances.json says and, unless `quick`, can be decoded."""
    path, entry = release.picture_path(expression), f"image {expression.image_id}"
    if not faults.check_exists(path, entry):
        return 1
    size = faults.attempt(lambda: media.image_size(path, entry, expression.size))
    if size and size != expression.size:
        expected = f"{expression.size[0]} x {expression.size[1]}"
        message = f"{size[0]} x {size[1]} pixels (height x width), but {release.instances} says {expected}"
        faults.add(SIZE, path, entry, message)
    elif size and not quick:
        faults.attempt(lambda: release.image(expression))
    return 1
