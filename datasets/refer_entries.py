"""The entries of a RefCOCO release: what its refs say, together with the objects and images that they name."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bench.datasets import refer_pickle
from bench.datasets.coco_instances import read_instances
from bench.datasets.layout import is_plain, note
from bench.datasets.refer_keys import absent_in_refs
from bench.errors import DataError

MAX_EXPRESSIONS = 500_000  # refs and sentences; the largest data set has 192,000
MAX_CHARACTERS = 10_000  # characters of a sentence; the longest of the releases have some hundred
MAX_SIDE = 10_000  # pixels; COCO's pictures have at most 640
OVERHANG = 5.0  # pixels that a box, drawn by hand and rounded, may reach beyond its picture
_KINDS = {int: "a whole number", str: "text", list: "a list"}
_T = TypeVar("_T", int, str, "list[Any]")


@dataclass(frozen=True, slots=True)
class Expression:
    """One sample: a sentence about one object of one picture.

    Attributes:
        dataset: name of its data set, a key of `DATASETS`.
        sent_id, ref_id, ann_id, image_id: the release's own numbers.
        category_id: that of the ref, None where it is none: only `verify` reads it.
        text: the sentence, as cleaned by the release's authors.
        file_name: the picture's.
        box: x, y, width and height of the object, in pixels; None where the annotation has none that is one.
        size: height and width of the picture, in pixels.
    """

    dataset: str
    sent_id: int
    ref_id: int
    ann_id: int
    image_id: int
    category_id: int | None
    text: str
    file_name: str
    box: tuple[float, float, float, float] | None
    size: tuple[int, int]


@dataclass(frozen=True)
class Entries:
    """What a data set's two files hold.

    Attributes:
        expressions: by split.
        segmentations: by number of annotation, as JSON; None where it has none.
        categories: by number of annotation, the number of the category that it is of; None where it has none.
        known_categories: the numbers of those that instances.json has.
        problems: what is wrong with refs, which are left out.
        wrong_boxes: by number of annotation, what is wrong with its box.
        absent: the keys of `coco_instances.OPTIONAL` that no annotation has.
        repeated: numbers that are there twice, in words, each with its file.
    """

    expressions: dict[str, list[Expression]] = field(default_factory=dict)
    segmentations: dict[int, bytes | None] = field(default_factory=dict)
    categories: dict[int, Any] = field(default_factory=dict)
    known_categories: frozenset[Any] = frozenset()
    problems: list[DataError] = field(default_factory=list)
    wrong_boxes: dict[int, DataError] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    repeated: list[tuple[Path, str]] = field(default_factory=list)

    def box_problems(self) -> list[DataError]:
        """Return what is wrong with boxes; in one message where there is none at all."""
        problems = list(self.wrong_boxes.values())
        if problems and "bbox" in self.absent:
            return [DataError(f"{problems[0]}; no annotation of the file has one")]
        return problems


def read_entries(dataset: str, instances: Path, refs: Path, problems: list[DataError] | None = None) -> Entries:
    """Read both files; only once a process, as long as their times and sizes stay what they are.

    Args:
        dataset: the name that the expressions are given.
        instances: objects and images in COCO's format. It holds more than the refs name: the rest is dropped.
        refs: the refs, each with its sentences, as a pickle.
        problems: gets what is wrong with refs, which are then left out; None to raise the first.

    Raises:
        DataError: an entry is not as it should be: the message names its file, its number and the key.
    """
    entries = _read(dataset, instances, refs, _stamp(instances), _stamp(refs))
    for problem in entries.problems:
        note(problem, problems)
    return entries


def _stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, path.stat().st_size


@lru_cache(maxsize=8)
def _read(dataset: str, instances: Path, refs: Path, *stamps: tuple[int, int]) -> Entries:
    all_refs = refer_pickle.load(refs)
    _check_count(all_refs, refs)
    found = read_instances(instances, _numbers(all_refs, "image_id"), _numbers(all_refs, "ann_id"))
    absent = [f"{instances}: {what}" for what in found.absent]
    absent += [f"{refs}: {what}" for what in absent_in_refs(all_refs)]
    if absent:
        raise DataError(". ".join(absent))
    entries = Entries(
        known_categories=found.categories,
        absent=found.optional,
        repeated=[*((instances, what) for what in found.repeated), *((refs, what) for what in _repeated(all_refs))],
    )
    for number, ref in enumerate(all_refs):
        try:
            where = f"{refs}: ref {_take(ref, 'ref_id', int, f'{refs}: ref at place {number}')}"
            ann_id, image_id = _take(ref, "ann_id", int, where), _take(ref, "image_id", int, where)
            _check_named(where, instances, "ann_id", ann_id, found.annotations, found.ambiguous[1])
            _check_named(where, instances, "image_id", image_id, found.images, found.ambiguous[0])
            annotation = found.annotations[ann_id]
            expressions = list(_expressions(dataset, ref, where, annotation, found.images[image_id], instances))
            entries.expressions.setdefault(_take(ref, "split", str, where), []).extend(expressions)
        except DataError as error:
            entries.problems.append(DataError(str(error)))  # without the traceback, since it is kept
        else:
            entries.segmentations[ann_id] = annotation.get("segmentation")
            entries.categories[ann_id] = annotation.get("category_id")
            if expressions and expressions[0].box is None:
                entries.wrong_boxes[ann_id] = _wrong_box(annotation, expressions[0].size, instances)
    return entries


def absent_in(instances: Path, refs: Path) -> list[DataError]:
    """Return what those of the two files lack that are there: all of it, or that they cannot be read."""

    def absent(path: Path) -> Iterable[str]:
        return absent_in_refs(refer_pickle.load(path)) if path == refs else read_instances(path, (), ()).absent

    problems = []
    for path in (instances, refs):
        try:
            problems += [DataError(f"{path}: {what}") for what in absent(path)] if path.exists() else []
        except DataError as error:
            problems.append(error)
    return problems


def _check_named(
    where: str, path: Path, key: str, number: int, known: Container[int], ambiguous: Container[int]
) -> None:
    """Make sure that an image or annotation that a ref names is there, and once only."""
    if number not in known:
        raise DataError(f"{where}: {key} {number} is not in {path}: the two files are not of one release")
    if number in ambiguous:
        raise DataError(
            f"{where}: {key} {number} is there twice in {path}, with other contents, and which is meant cannot be told"
        )


def _repeated(refs: list[dict[str, Any]]) -> Iterator[str]:
    for ref_id, count in Counter(ref["ref_id"] for ref in refs if type(ref.get("ref_id")) is int).items():
        if count > 1:
            yield f"ref_id {ref_id} is there {count} times, expected once"


def _numbers(refs: list[dict[str, Any]], key: str) -> set[int]:
    return {number for ref in refs if type(number := ref.get(key)) is int}


def _check_count(refs: list[dict[str, Any]], path: Path) -> None:
    """Refuse more refs and sentences than a data set can have; a pickle may name one sentence millions of times."""
    sentences = (ref.get("sentences") for ref in refs)
    count = len(refs) + sum(len(each) for each in sentences if isinstance(each, list))
    if count > MAX_EXPRESSIONS:
        raise DataError(f"{path}: {count:,} refs and sentences, more than {MAX_EXPRESSIONS:,}")


def _expressions(
    dataset: str,
    ref: Mapping[str, Any],
    where: str,
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    path: Path,
) -> Iterator[Expression]:
    """Yield one expression for each sentence of a ref; `where` and `path`, of instances.json, are named in errors."""
    if annotation.get("image_id") != image["id"]:
        raise DataError(
            f"{where}: its image_id is {image['id']}, but that of annotation {annotation['id']} in {path} is "
            f"{reprlib.repr(annotation.get('image_id'))}"
        )
    size = _size(image, f"{path}: image {image['id']}")
    file_name = _take(image, "file_name", str, f"{path}: image {image['id']}")
    if not is_plain(file_name):
        raise DataError(f"{path}: image {image['id']}: file_name is no plain name of a file: {reprlib.repr(file_name)}")
    box = _box(annotation.get("bbox"), size)
    for number, sentence in enumerate(_take(ref, "sentences", list, where)):
        place = f"{where}: sentence {number}"
        sent_id = _take(sentence, "sent_id", int, place)
        text = _take(sentence, "sent" if sentence.get("sent") else "raw", str, place)
        if len(text) > MAX_CHARACTERS:
            raise DataError(f"{place}: {len(text):,} characters, more than {MAX_CHARACTERS:,}")
        yield Expression(
            dataset,
            sent_id,
            ref["ref_id"],
            ref["ann_id"],
            ref["image_id"],
            category if type(category := ref.get("category_id")) is int else None,
            # Python 2 wrote what lies beyond 16 bits as two halves.
            text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
            file_name,
            box,
            size,
        )


def _size(image: Mapping[str, Any], where: str) -> tuple[int, int]:
    height, width = _take(image, "height", int, where), _take(image, "width", int, where)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DataError(f"{where}: height and width should be 1 to {MAX_SIDE} pixels, found {height} and {width}")
    return height, width


def _box(bbox: Any, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return a box that is one: of some size, and inside the picture; None where it is not."""
    if not _is_four_numbers(bbox):
        return None
    x, y, width, height = map(float, bbox)
    inside = min(x, y) >= -OVERHANG and x + width <= size[1] + OVERHANG and y + height <= size[0] + OVERHANG
    return (x, y, width, height) if width > 0 and height > 0 and inside else None


def _is_four_numbers(bbox: Any) -> bool:
    if not isinstance(bbox, list) or len(bbox) != 4:
        return False
    # A comparison, unlike a conversion, also stands numbers that are too large for float, and is False for NaN.
    return all(type(part) in (int, float) and abs(part) <= MAX_SIDE for part in bbox)


def _wrong_box(annotation: Mapping[str, Any], size: tuple[int, int], path: Path) -> DataError:
    where, bbox = f"{path}: annotation {annotation['id']}", annotation.get("bbox")
    if not _is_four_numbers(bbox):
        return DataError(f"{where}: bbox should be x, y, width and height in pixels, found {reprlib.repr(bbox)}")
    return DataError(
        f"{where}: bbox {bbox} (x, y, width, height) should have some width and height and lie inside the picture, "
        f"which is {size[1]} wide and {size[0]} high"
    )


def _take(entry: Any, key: str, kind: type[_T], where: str) -> _T:
    """`entry[key]`, which must be there and of that kind."""
    if not isinstance(entry, dict):
        raise DataError(f"{where}: should be a dict, found {reprlib.repr(entry)}")
    value = entry.get(key)
    if type(value) is not kind:
        found = reprlib.repr(value) if key in entry else "nothing"
        raise DataError(f"{where}: {key} should be {_KINDS[kind]}, found {found}")
    return value
