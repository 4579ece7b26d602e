"""The list of the worst files: as large as their reader allows, and as expensive as possible.

A reader may take 1 GB and 60 s of processor time for any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

KIBIBYTE, MEBIBYTE = 2**10, 2**20


@dataclass(frozen=True)
class Worst:
    """A file that is expensive to read.

    Attributes:
        reader: Name of the target that reads it.
        content: Returns its bytes.
    """

    reader: str
    content: Callable[[], bytes]


WORST: dict[str, Worst] = {}


def add(reader: str, files: dict[str, Callable[[], bytes]]) -> None:
    """Add files for a reader, by description."""
    WORST.update({f"{reader}: {name}": Worst(reader, content) for name, content in files.items()})


def repeated(part: bytes, size: int, first: bytes = b"", last: bytes = b"") -> Callable[[], bytes]:
    """Return a content of up to `size` bytes: a repeated part."""
    return lambda: first + part * ((size - len(first) - len(last)) // len(part)) + last


def numbered(part: str, size: int, first: str = "", last: str = "") -> Callable[[], bytes]:
    """Return a content of up to `size` bytes: a part repeated with increasing numbers."""
    count = size // len(part.format(10**6))
    return lambda: (first + "".join(map(part.format, range(count))) + last).encode()
