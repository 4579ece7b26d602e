"""Reads instances.json, objects and images in COCO's format, of which only the requested entries are decoded.

Python's lists and numbers take five to twenty times the memory of their JSON, and the file may have hundreds of
megabytes. So it is first split into the raw values of its entries' keys, and only requested entries are decoded.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.datasets.layout import MAX_PROBLEMS, unreadable
from bench.errors import DataError
from bench.files import MEBIBYTE, read_bytes

MAX_BYTES = 384 * MEBIBYTE  # all of COCO's training annotations of 2014 have 333 million bytes
MAX_ENTRIES = 800_000  # tables in the file; all of COCO's training annotations of 2014 have 698,000
_MAX_VALUE_BYTES = 1_000  # of a value other than a segmentation
_ABSENT = msgspec.Raw()
_REQUIRED = {"images": ("id", "file_name", "height", "width"), "annotations": ("id", "image_id")}
OPTIONAL = ("bbox", "segmentation", "category_id")
"""Keys of an annotation that only boxes, only masks and only `verify` need."""


class _Image(msgspec.Struct, gc=False):
    id: msgspec.Raw = _ABSENT
    file_name: msgspec.Raw = _ABSENT
    height: msgspec.Raw = _ABSENT
    width: msgspec.Raw = _ABSENT


class _Annotation(msgspec.Struct, gc=False):
    id: msgspec.Raw = _ABSENT
    image_id: msgspec.Raw = _ABSENT
    category_id: msgspec.Raw = _ABSENT
    bbox: msgspec.Raw = _ABSENT
    segmentation: msgspec.Raw = _ABSENT


class _Category(msgspec.Struct, gc=False):
    id: msgspec.Raw = _ABSENT


class _Document(msgspec.Struct):
    images: list[_Image] | None = None
    annotations: list[_Annotation] | None = None
    categories: list[_Category] = []


@dataclass(frozen=True)
class Instances:
    """The requested entries of the file.

    Attributes:
        images: The values of each image, by id.
        annotations: The values of each annotation, by id; `segmentation` is still JSON, in bytes.
        categories: The ids of all categories.
        absent: Messages about required keys that the file lacks; then `images` and `annotations` are empty.
        optional: The keys of `OPTIONAL` that no annotation has.
        repeated: Messages about ids that occur twice.
        ambiguous: The ids of images and of annotations that occur twice with different contents.
    """

    images: dict[int, dict[str, Any]]
    annotations: dict[int, dict[str, Any]]
    categories: frozenset[int]
    absent: tuple[str, ...]
    optional: tuple[str, ...]
    repeated: tuple[str, ...]
    ambiguous: tuple[frozenset[int], frozenset[int]]


def read_instances(path: Path, images: Container[int], annotations: Container[int]) -> Instances:
    """Read the images and annotations with the requested ids, and the ids of all categories.

    Args:
        path: The file.
        images: Ids of the requested images.
        annotations: Ids of the requested annotations.

    Raises:
        DataError: The file cannot be read, or a value in it is too long, or an id is missing or not a number.
    """
    try:
        content = read_bytes(path, MAX_BYTES).removeprefix(b"\xef\xbb\xbf")
        if (entries := content.count(b"{")) > MAX_ENTRIES:
            raise ValueError(f"it has {entries:,} tables, more than {MAX_ENTRIES:,}")
        document = msgspec.json.decode(content, type=_Document)
    except RecursionError:
        raise DataError(f"{path}: cannot be read as JSON: lists and tables are nested too deeply") from None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise unreadable(path, "JSON of COCO's format", error) from error
    lists = {"images": document.images, "annotations": document.annotations}
    absent = tuple(message for name, entries in lists.items() for message in _absent(name, entries))
    image_reader, annotation_reader = _EntryReader(path, "images"), _EntryReader(path, "annotations")
    if not absent:
        image_reader.read(document.images or (), images)
        annotation_reader.read(document.annotations or (), annotations)
    categories = (category for category in document.categories if category.id is not _ABSENT)
    ids = (_value(category.id, f"{path}: categories: id") for category in categories)
    return Instances(
        image_reader.values,
        annotation_reader.values,
        frozenset(number for number in ids if type(number) is int),
        absent,
        tuple(_absent_keys(document.annotations or (), OPTIONAL)),
        (*image_reader.repeated, *annotation_reader.repeated),
        (frozenset(image_reader.ambiguous), frozenset(annotation_reader.ambiguous)),
    )


def _absent(name: str, entries: Sequence[_Image | _Annotation] | None) -> Iterator[str]:
    """Yield messages about a list of the file that is missing, or whose entries all lack a required key."""
    if entries is None:
        yield f"{name} should be a list, found nothing"
    elif keys := _absent_keys(entries, _REQUIRED[name]):
        yield f"no entry of {name} has {', '.join(keys)}"


def _absent_keys(entries: Sequence[_Image | _Annotation], keys: Iterable[str]) -> list[str]:
    """Return the keys that no entry has; an empty list if there are no entries."""
    return [key for key in keys if entries and all(getattr(entry, key) is _ABSENT for entry in entries)]


class _EntryReader:
    """Reads the requested entries of one list of the file; for its attributes see `Instances`."""

    def __init__(self, path: Path, name: str) -> None:
        self.location, self.name = f"{path}: {name}", name
        self.values: dict[int, dict[str, Any]] = {}
        self.repeated: list[str] = []
        self.ambiguous: set[int] = set()

    def read(self, entries: Sequence[_Image | _Annotation], requested: Container[int]) -> None:
        ids: set[int] = set()
        for index, entry in enumerate(entries):
            number = _id(entry, f"{self.location}, entry {index}")
            values = _values(entry, f"{self.location}, entry {index}") if number in requested else None
            if number in ids:
                self._add_repeated(number, values)
            elif values is not None:
                self.values[number] = values
            ids.add(number)

    def _add_repeated(self, number: int, values: dict[str, Any] | None) -> None:
        suffix = ""
        if values is not None:
            is_equal = values == self.values[number]
            suffix = f", with {'the same' if is_equal else 'different'} contents"
            if not is_equal:
                self.ambiguous.add(number)
        if len(self.repeated) < MAX_PROBLEMS:
            self.repeated.append(f"{self.name}: id {number} occurs twice{suffix}")


def _values(entry: _Image | _Annotation, location: str) -> dict[str, Any]:
    return {
        name: bytes(raw) if name == "segmentation" else _value(raw, f"{location}: {name}")
        for name in entry.__struct_fields__
        if (raw := getattr(entry, name)) is not _ABSENT
    }


def _id(entry: _Image | _Annotation, location: str) -> int:
    number = _value(entry.id, f"{location}: id") if entry.id is not _ABSENT else None
    if type(number) is not int:
        actual = "nothing" if entry.id is _ABSENT else reprlib.repr(number)
        raise DataError(f"{location}: id should be a whole number, found {actual}")
    return number


def _value(raw: msgspec.Raw, location: str) -> Any:
    text = bytes(raw)
    try:
        if len(text) > _MAX_VALUE_BYTES:
            raise ValueError(f"{len(text):,} bytes, more than {_MAX_VALUE_BYTES:,}")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{location} cannot be read: {error}") from error
