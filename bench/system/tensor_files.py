"""What is looked at in a safetensors file before it is opened. Needs no heavy import."""

from __future__ import annotations

import struct
from pathlib import Path

from bench.files import MEBIBYTE, check_file

LARGEST = 2**36  # bytes of a file: every parameter of a model of 16 billion
LARGEST_HEADER = 8 * MEBIBYTE  # bytes; 100 for each tensor, and an encoder of a hundred blocks has two thousand


def check_header(path: Path, most: int = LARGEST) -> None:
    """Refuse a file whose list of tensors is so long that it takes memory by the gigabyte once it is read.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or it or its list is too large.
    """
    try:
        size = check_file(path, most)
        with path.open("rb") as file:
            start = file.read(8)
        header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if LARGEST_HEADER < header <= size:  # where there is not as much, the reader says so
            raise ValueError(f"its list of tensors has {header:,} bytes, more than {LARGEST_HEADER:,}")
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
