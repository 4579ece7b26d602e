"""The entries of a RefCOCO release: its refs, combined with the objects and images that they refer to."""

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
MAX_CHARACTERS = 10_000  # of a sentence; the longest ones of the releases have some hundred
MAX_SIDE = 10_000  # pixels; COCO's pictures have at most 640
OVERHANG = 5.0  # pixels by which a box, drawn by hand and rounded, may extend beyond its picture
_KINDS = {int: "a whole number", str: "text", list: "a list"}
_T = TypeVar("_T", int, str, "list[Any]")


@dataclass(frozen=True, slots=True)
class Expression:
    """One sample: a sentence about one object of one picture.

    Attributes:
        dataset: The name of its data set, a key of `DATASETS`.
        sent_id, ref_id, ann_id, image_id: The release's ids.
        category_id: The ref's category id, None if it is missing or invalid; used by `verify` only.
        text: The sentence, as cleaned by the release's authors.
        file_name: The picture's file name.
        box: X, y, width and height of the object, in pixels; None if the annotation has no valid box.
        size: Height and width of the picture, in pixels.
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
    """The contents of a data set's two annotation files.

    Attributes:
        expressions: The expressions, by split.
        segmentations: Segmentations as JSON, by annotation id; None for an annotation without one.
        categories: Category ids, by annotation id; None for an annotation without one.
        known_categories: The ids of the categories in instances.json.
        problems: Errors of invalid refs, which are skipped.
        wrong_boxes: Errors of invalid boxes, by annotation id.
        absent: The keys of `coco_instances.OPTIONAL` that no annotation has.
        repeated: Pairs of a file and a message about an id that occurs twice in it.
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
        """Return the errors of invalid boxes; a single one if no annotation has a box."""
        problems = list(self.wrong_boxes.values())
        if problems and "bbox" in self.absent:
            return [DataError(f"{problems[0]}; no annotation of the file has one")]
        return problems


def read_entries(dataset: str, instances: Path, refs: Path, problems: list[DataError] | None = None) -> Entries:
    """Read both files; the result is cached within the process until a file's time or size changes.

    Args:
        dataset: The data set's name, for the expressions.
        instances: Objects and images in COCO's format; those that no ref refers to are ignored.
        refs: The refs, each with its sentences, as a pickle.
        problems: A list that collects the errors of invalid refs, which are then skipped; None to raise the first.

    Raises:
        DataError: An entry is invalid; the message names its file, its id and the key.
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
    content = read_instances(instances, _ids(all_refs, "image_id"), _ids(all_refs, "ann_id"))
    absent = [f"{instances}: {message}" for message in content.absent]
    absent += [f"{refs}: {message}" for message in absent_in_refs(all_refs)]
    if absent:
        raise DataError(". ".join(absent))
    repeated = [(instances, message) for message in content.repeated]
    repeated += [(refs, message) for message in _repeated(all_refs)]
    entries = Entries(known_categories=content.categories, absent=content.optional, repeated=repeated)
    for index, ref in enumerate(all_refs):
        try:
            location = f"{refs}: ref {_take(ref, 'ref_id', int, f'{refs}: ref number {index}')}"
            ann_id, image_id = _take(ref, "ann_id", int, location), _take(ref, "image_id", int, location)
            _check_reference(location, instances, "ann_id", ann_id, content.annotations, content.ambiguous[1])
            _check_reference(location, instances, "image_id", image_id, content.images, content.ambiguous[0])
            annotation = content.annotations[ann_id]
            expressions = list(_expressions(dataset, ref, location, annotation, content.images[image_id], instances))
            entries.expressions.setdefault(_take(ref, "split", str, location), []).extend(expressions)
        except DataError as error:
            entries.problems.append(DataError(str(error)))  # a new error, so that the traceback is not kept in memory
        else:
            entries.segmentations[ann_id] = annotation.get("segmentation")
            entries.categories[ann_id] = annotation.get("category_id")
            if expressions and expressions[0].box is None:
                entries.wrong_boxes[ann_id] = _wrong_box(annotation, expressions[0].size, instances)
    return entries


def absent_in(instances: Path, refs: Path) -> list[DataError]:
    """Return errors about all required keys that the two files lack, if they exist, or that they cannot be read."""

    def absent(path: Path) -> Iterable[str]:
        return absent_in_refs(refer_pickle.load(path)) if path == refs else read_instances(path, (), ()).absent

    problems = []
    for path in (instances, refs):
        try:
            problems += [DataError(f"{path}: {message}") for message in absent(path)] if path.exists() else []
        except DataError as error:
            problems.append(error)
    return problems


def _check_reference(
    location: str, path: Path, key: str, number: int, known: Container[int], ambiguous: Container[int]
) -> None:
    """Check that an image or annotation that a ref refers to exists and is unambiguous."""
    if number not in known:
        raise DataError(f"{location}: {key} {number} is not in {path}: the two files are from different releases")
    if number in ambiguous:
        raise DataError(
            f"{location}: {key} {number} occurs twice in {path} with different contents, so the reference is ambiguous"
        )


def _repeated(refs: list[dict[str, Any]]) -> Iterator[str]:
    for ref_id, count in Counter(ref["ref_id"] for ref in refs if type(ref.get("ref_id")) is int).items():
        if count > 1:
            yield f"ref_id {ref_id} occurs {count} times, expected once"


def _ids(refs: list[dict[str, Any]], key: str) -> set[int]:
    return {number for ref in refs if type(number := ref.get(key)) is int}


def _check_count(refs: list[dict[str, Any]], path: Path) -> None:
    """Refuse more refs and sentences than a data set can have; a pickle may repeat one sentence millions of times."""
    lists = (ref.get("sentences") for ref in refs)
    count = len(refs) + sum(len(sentences) for sentences in lists if isinstance(sentences, list))
    if count > MAX_EXPRESSIONS:
        raise DataError(f"{path}: {count:,} refs and sentences, more than {MAX_EXPRESSIONS:,}")


def _expressions(
    dataset: str,
    ref: Mapping[str, Any],
    location: str,
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    path: Path,
) -> Iterator[Expression]:
    """Yield one expression per sentence of a ref; errors name `location`, of the ref, and `path`, of instances.json."""
    if annotation.get("image_id") != image["id"]:
        raise DataError(
            f"{location}: its image_id is {image['id']}, but that of annotation {annotation['id']} in {path} is "
            f"{reprlib.repr(annotation.get('image_id'))}"
        )
    size = _size(image, f"{path}: image {image['id']}")
    file_name = _take(image, "file_name", str, f"{path}: image {image['id']}")
    if not is_plain(file_name):
        raise DataError(f"{path}: image {image['id']}: file_name is not a plain file name: {reprlib.repr(file_name)}")
    box = _box(annotation.get("bbox"), size)
    for number, sentence in enumerate(_take(ref, "sentences", list, location)):
        sentence_location = f"{location}: sentence {number}"
        sent_id = _take(sentence, "sent_id", int, sentence_location)
        text = _take(sentence, "sent" if sentence.get("sent") else "raw", str, sentence_location)
        if len(text) > MAX_CHARACTERS:
            raise DataError(f"{sentence_location}: {len(text):,} characters, more than {MAX_CHARACTERS:,}")
        yield Expression(
            dataset,
            sent_id,
            ref["ref_id"],
            ref["ann_id"],
            ref["image_id"],
            category if type(category := ref.get("category_id")) is int else None,
            # Python 2 wrote characters beyond 16 bits as two surrogates.
            text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
            file_name,
            box,
            size,
        )


def _size(image: Mapping[str, Any], location: str) -> tuple[int, int]:
    height, width = _take(image, "height", int, location), _take(image, "width", int, location)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DataError(f"{location}: height and width should be 1 to {MAX_SIDE} pixels, found {height} and {width}")
    return height, width


def _box(bbox: Any, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return a valid box, which is not empty and inside the picture; None if it is invalid."""
    if not _is_four_numbers(bbox):
        return None
    x, y, width, height = map(float, bbox)
    inside = min(x, y) >= -OVERHANG and x + width <= size[1] + OVERHANG and y + height <= size[0] + OVERHANG
    return (x, y, width, height) if width > 0 and height > 0 and inside else None


def _is_four_numbers(bbox: Any) -> bool:
    if not isinstance(bbox, list) or len(bbox) != 4:
        return False
    # Unlike a conversion, a comparison works for integers that are too large for float, and it is False for NaN.
    return all(type(part) in (int, float) and abs(part) <= MAX_SIDE for part in bbox)


def _wrong_box(annotation: Mapping[str, Any], size: tuple[int, int], path: Path) -> DataError:
    location, bbox = f"{path}: annotation {annotation['id']}", annotation.get("bbox")
    if not _is_four_numbers(bbox):
        return DataError(f"{location}: bbox should be x, y, width and height in pixels, found {reprlib.repr(bbox)}")
    return DataError(
        f"{location}: bbox {bbox} (x, y, width, height) should have a positive width and height and be inside the "
        f"picture, which is {size[1]} wide and {size[0]} high"
    )


def _take(entry: Any, key: str, kind: type[_T], location: str) -> _T:
    """Return `entry[key]`, which must exist and be of a type."""
    if not isinstance(entry, dict):
        raise DataError(f"{location}: should be a dict, found {reprlib.repr(entry)}")
    value = entry.get(key)
    if type(value) is not kind:
        actual = reprlib.repr(value) if key in entry else "nothing"
        raise DataError(f"{location}: {key} should be {_KINDS[kind]}, found {actual}")
    return value
