"""Reads instances.json, objects and images in COCO's format: of hundreds of megabytes only what is asked for.

Python's own lists and numbers take five to twenty times the bytes of their JSON. So the file is cut into the keys of
its entries first, as they stand there, and only the entries that are wanted become values.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import DataError
from bench.files import MEBIBYTE, read_bytes

LARGEST = 384 * MEBIBYTE  # bytes; all of COCO's training annotations of 2014 have 333 million
MOST_ENTRIES = 800_000  # tables in it; all of COCO's training annotations of 2014 have 698,000
_LONGEST = 1_000  # bytes of a value that is no segmentation
_ABSENT = msgspec.Raw()


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
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


@dataclass(frozen=True)
class Instances:
    """What is wanted of the file.

    Attributes:
        images: by number, the keys that are read of each image.
        annotations: likewise; `segmentation` is still JSON, in bytes.
        categories: the numbers of all categories.
    """

    images: dict[int, dict[str, Any]]
    annotations: dict[int, dict[str, Any]]
    categories: frozenset[int]


def read_instances(path: Path, images: Container[int], annotations: Container[int]) -> Instances:
    """Read the images and annotations of these numbers, and the numbers of all categories.

    Raises:
        DataError: the file cannot be read, or an entry of it has no number or a value that is too long.
    """
    try:
        content = read_bytes(path, LARGEST).removeprefix(b"\xef\xbb\xbf")
        if (entries := content.count(b"{")) > MOST_ENTRIES:
            raise ValueError(f"it has {entries:,} tables, more than {MOST_ENTRIES:,}")
        document = msgspec.json.decode(content, type=_Document)
    except RecursionError:
        raise DataError(f"{path}: cannot be read as JSON: lists and tables lie too deep in one another") from None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: cannot be read as JSON of COCO's format: {error}") from error
    of_images, of_annotations = f"{path}: images", f"{path}: annotations"
    return Instances(
        _wanted(document.images, images, of_images),
        _wanted(document.annotations, annotations, of_annotations),
        frozenset(_number(each, f"{path}: categories, entry {n}") for n, each in enumerate(document.categories)),
    )


def _wanted(entries: Sequence[_Image | _Annotation], wanted: Container[int], where: str) -> dict[int, dict[str, Any]]:
    found = {}
    for place, entry in enumerate(entries):
        number = _number(entry, f"{where}, entry {place}")
        if number in wanted:
            found[number] = {
                name: bytes(raw) if name == "segmentation" else _value(raw, f"{where}, entry {place}: {name}")
                for name in entry.__struct_fields__
                if (raw := getattr(entry, name)) is not _ABSENT
            }
    return found


def _number(entry: _Image | _Annotation | _Category, where: str) -> int:
    number = _value(entry.id, f"{where}: id") if entry.id is not _ABSENT else None
    if type(number) is not int:
        found = "nothing" if entry.id is _ABSENT else reprlib.repr(number)
        raise DataError(f"{where}: id should be a whole number, found {found}")
    return number


def _value(raw: msgspec.Raw, where: str) -> Any:
    text = bytes(raw)
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"{len(text):,} bytes, more than {_LONGEST:,}")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error
