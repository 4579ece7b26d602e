"""Reads instances.json, objects and images in COCO's format: of hundreds of megabytes only what is asked for.

Python's own lists and numbers take five to twenty times the bytes of their JSON. So the file is cut into the keys of
its entries first, as they stand there, and only the entries that are wanted become values.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.datasets.layout import MAX_PROBLEMS
from bench.errors import DataError
from bench.files import MEBIBYTE, read_bytes

MAX_BYTES = 384 * MEBIBYTE  # bytes; all of COCO's training annotations of 2014 have 333 million
MAX_ENTRIES = 800_000  # tables in it; all of COCO's training annotations of 2014 have 698,000
_MAX_VALUE_BYTES = 1_000  # bytes of a value that is no segmentation
_ABSENT = msgspec.Raw()
_NEEDED = {"images": ("id", "file_name", "height", "width"), "annotations": ("id", "image_id")}
OPTIONAL = ("bbox", "segmentation", "category_id")
"""Keys of an annotation that are needed for boxes, for masks, and by `verify` only."""


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
    """What is wanted of the file.

    Attributes:
        images: by number, the keys that are read of each image.
        annotations: likewise; `segmentation` is still JSON, in bytes.
        categories: the numbers of all categories.
        absent: what the file lacks of all that is needed, in words; then there are no images and no annotations.
        optional: the keys of `OPTIONAL` that no annotation has.
        repeated: what is there twice, in words.
        ambiguous: the numbers of images and of annotations that are there twice, with other contents.
    """

    images: dict[int, dict[str, Any]]
    annotations: dict[int, dict[str, Any]]
    categories: frozenset[int]
    absent: tuple[str, ...]
    optional: tuple[str, ...]
    repeated: tuple[str, ...]
    ambiguous: tuple[frozenset[int], frozenset[int]]


def read_instances(path: Path, images: Container[int], annotations: Container[int]) -> Instances:
    """Read the images and annotations of these numbers, and the numbers of all categories.

    Raises:
        DataError: the file cannot be read, or an entry of it has a value that is too long or, unlike others, no number.
    """
    try:
        content = read_bytes(path, MAX_BYTES).removeprefix(b"\xef\xbb\xbf")
        if (entries := content.count(b"{")) > MAX_ENTRIES:
            raise ValueError(f"it has {entries:,} tables, more than {MAX_ENTRIES:,}")
        document = msgspec.json.decode(content, type=_Document)
    except RecursionError:
        raise DataError(f"{path}: cannot be read as JSON: lists and tables lie too deep in one another") from None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: cannot be read as JSON of COCO's format: {error}") from error
    lists = {"images": document.images, "annotations": document.annotations}
    absent = tuple(what for name, entries in lists.items() for what in _absent(name, entries))
    read_images, read_annotations = _Wanted(path, "images"), _Wanted(path, "annotations")
    if not absent:
        read_images.read(document.images or (), images)
        read_annotations.read(document.annotations or (), annotations)
    numbers = (_value(each.id, f"{path}: categories: id") for each in document.categories if each.id is not _ABSENT)
    return Instances(
        read_images.found,
        read_annotations.found,
        frozenset(number for number in numbers if type(number) is int),
        absent,
        tuple(_nowhere(document.annotations or (), OPTIONAL)),
        (*read_images.repeated, *read_annotations.repeated),
        (frozenset(read_images.ambiguous), frozenset(read_annotations.ambiguous)),
    )


def _absent(name: str, entries: Sequence[_Image | _Annotation] | None) -> Iterator[str]:
    """Yield what is wrong with a list of the file: that it is not there, or that no entry has a key that is needed."""
    if entries is None:
        yield f"{name} should be a list, found nothing"
    elif keys := _nowhere(entries, _NEEDED[name]):
        yield f"no entry of {name} has {', '.join(keys)}"


def _nowhere(entries: Sequence[_Image | _Annotation], keys: Iterable[str]) -> list[str]:
    """Return the keys that none of the entries has; none where there are no entries."""
    return [key for key in keys if entries and all(getattr(entry, key) is _ABSENT for entry in entries)]


class _Wanted:
    """What is wanted of a list of the file; see `Instances`."""

    def __init__(self, path: Path, name: str) -> None:
        self.where, self.name = f"{path}: {name}", name
        self.found: dict[int, dict[str, Any]] = {}
        self.repeated: list[str] = []
        self.ambiguous: set[int] = set()

    def read(self, entries: Sequence[_Image | _Annotation], wanted: Container[int]) -> None:
        numbers: set[int] = set()
        for place, entry in enumerate(entries):
            number = _number(entry, f"{self.where}, entry {place}")
            values = _values(entry, f"{self.where}, entry {place}") if number in wanted else None
            if number in numbers:
                self._note_again(number, values)
            elif values is not None:
                self.found[number] = values
            numbers.add(number)

    def _note_again(self, number: int, values: dict[str, Any] | None) -> None:
        how = ""
        if values is not None:
            same = values == self.found[number]
            how = f", with {'the same' if same else 'other'} contents"
            if not same:
                self.ambiguous.add(number)
        if len(self.repeated) < MAX_PROBLEMS:
            self.repeated.append(f"{self.name}: id {number} is there twice{how}")


def _values(entry: _Image | _Annotation, where: str) -> dict[str, Any]:
    return {
        name: bytes(raw) if name == "segmentation" else _value(raw, f"{where}: {name}")
        for name in entry.__struct_fields__
        if (raw := getattr(entry, name)) is not _ABSENT
    }


def _number(entry: _Image | _Annotation, where: str) -> int:
    number = _value(entry.id, f"{where}: id") if entry.id is not _ABSENT else None
    if type(number) is not int:
        found = "nothing" if entry.id is _ABSENT else reprlib.repr(number)
        raise DataError(f"{where}: id should be a whole number, found {found}")
    return number


def _value(raw: msgspec.Raw, where: str) -> Any:
    text = bytes(raw)
    try:
        if len(text) > _MAX_VALUE_BYTES:
            raise ValueError(f"{len(text):,} bytes, more than {_MAX_VALUE_BYTES:,}")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error
