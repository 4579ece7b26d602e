"""What can be wrong with the releases of the RefCOCO family."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable
from functools import partial
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

_MIN_IOU = 0.75  # of a box and the one around its mask
_QUICK = 100  # masks of a split that a quick look decodes


def walker(dataset: str) -> Callable[[Path, Report, Progress, bool], Path | None]:
    """Return what walks the release of a data set."""
    return partial(_walk, dataset)


def _walk(dataset: str, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
    """Note what is wrong below `root`; returns the file that the samples are counted in, None if there are none."""
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
    for file, twice in entries.repeated:
        report.found.append(Fault(TWICE, f"{file}: {twice}"))
    if absent := [key for key in entries.absent if key != "bbox"]:
        report.found.append(Fault(MALFORMED, f"{release.instances}: no annotation has {', '.join(absent)}"))
    expressions = {split: its.expressions for split, its in releases.items()}
    report.counts = {split: _counted(its) for split, its in expressions.items()}
    everything = [expression for its in expressions.values() for expression in its]
    report.counts["all"] = _counted(everything)
    _check_splits(expressions, release.refs, report)
    objects = list({expression.ann_id: expression for expression in everything}.values())
    if "category_id" not in entries.absent:
        for expression in objects:
            _check_category(expression, entries, release, report)
    for expression in everything:
        if not re.search(r"\w", expression.text):
            wrong = f"no word in its text {expression.text[:40]!r}"
            report.add(WORDLESS, release.refs, f"ref {expression.ref_id}, sent_id {expression.sent_id}", wrong)
    looked_at = [each for its in expressions.values() for each in _some(its)] if quick else objects
    if "segmentation" in entries.absent:
        looked_at = []
    seen: dict[int, NDArray] = {}
    check_all(looked_at, lambda each, faults: _check_mask(release, each, faults, seen), report, progress, "object")
    for split, its in expressions.items():
        masks = [(f"annotation {each.ann_id}", seen[each.ann_id]) for each in its if each.ann_id in seen]
        check_alike(masks, release.instances, split, report)
    pictures = list({expression.image_id: expression for expression in everything}.values())
    check_all(pictures, lambda each, faults: _check_picture(release, each, faults, quick), report, progress, "image")
    return release.refs


def _note_absent(paths: tuple[Path, Path, Path], error: DataError, report: Report) -> None:
    """Note all that keeps a release from being read: files that are missing, and what the others lack."""
    absent = absent_in(*paths[:2])
    if not all(path.exists() for path in paths) or not absent:
        report.found.append(Fault(MISSING, str(error)))
    report.found += [Fault(MALFORMED, str(each)) for each in absent]


def _counted(expressions: list[Expression]) -> dict[str, int]:
    return {
        "expressions": len(expressions),
        "objects": len({expression.ref_id for expression in expressions}),
        "images": len({expression.image_id for expression in expressions}),
    }


def _check_splits(expressions: dict[str, list[Expression]], file: Path, report: Report) -> None:
    """Every expression once, and every image in one split only."""
    sentences: dict[int, str] = {}
    images: dict[int, str] = {}
    for split, its in expressions.items():
        for sent_id in (expression.sent_id for expression in its):
            if sent_id in sentences:
                report.add(TWICE, file, f"sent_id {sent_id}", f"is in {sentences[sent_id]} and {split}, expected once")
            sentences[sent_id] = split
        for image_id in dict.fromkeys(expression.image_id for expression in its):
            if image_id in images:
                wrong = f"is in {images[image_id]} and {split}, expected in one split"
                report.add(TWICE, file, f"image_id {image_id}", wrong)
            images[image_id] = split


def _check_category(expression: Expression, entries: Entries, release: Release, report: Report) -> None:
    its, of_ref, known = entries.categories[expression.ann_id], expression.category_id, entries.known_categories
    if known and not (isinstance(its, int) and its in known):
        wrong = f"category_id {reprlib.repr(its)} is no category of the file, which has {len(known)}"
        report.add(CATEGORY, release.instances, f"annotation {expression.ann_id}", wrong)
    elif its != of_ref:
        wrong = f"category_id {of_ref}, expected is {reprlib.repr(its)}, that of annotation {expression.ann_id}"
        report.add(CATEGORY, release.refs, f"ref {expression.ref_id}", wrong)


def _some(expressions: list[Expression]) -> list[Expression]:
    """At most `_QUICK` of them, spread evenly."""
    return expressions[:: -(-len(expressions) // _QUICK) or 1]


def _check_mask(release: Release, expression: Expression, faults: Faults, seen: dict[int, NDArray]) -> int:
    """Return the mask can be decoded, has a pixel, and the box lies around it; `seen` gets its values, each once."""
    mask = faults.attempt(lambda: release.mask(expression), MALFORMED)
    if mask is None:
        return 0
    seen[expression.ann_id] = np.unique(mask)
    entry = f"annotation {expression.ann_id}"
    if not mask.any():
        faults.add(EMPTY, release.instances, entry, "its mask has no pixel")
        return 0
    if expression.box and (around := box_elsewhere(expression.box, mask, _MIN_IOU)):
        expected = f"{around} (x, y, width, height), the box around its mask"
        faults.add(BOX, release.instances, entry, f"bbox {list(expression.box)}, expected is about {expected}")
    return 0


def _check_picture(release: Release, expression: Expression, faults: Faults, quick: bool) -> int:
    """Return the picture is there, can be decoded, and is as large as instances.json says."""
    path, entry = release.picture_path(expression), f"image {expression.image_id}"
    if not faults.is_there(path, entry):
        return 1
    size = faults.attempt(lambda: media.image_size(path, entry, expression.size))
    if size and size != expression.size:
        wrong = f"{size[0]} x {size[1]} pixels (height x width), {release.instances} says {expression.size[0]} x "
        faults.add(SIZE, path, entry, f"{wrong}{expression.size[1]}")
    elif size and not quick:
        faults.attempt(lambda: release.image(expression))
    return 1
