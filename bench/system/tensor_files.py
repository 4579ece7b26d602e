"""Checks of a safetensors file before it is opened. Imports nothing heavy."""

from __future__ import annotations

import struct
from pathlib import Path

from bench.files import MEBIBYTE, check_file

MAX_BYTES = 2**36  # of a file: every parameter of a model of 16 billion
MAX_HEADER_BYTES = 8 * MEBIBYTE  # 100 per tensor; an encoder of a hundred blocks has two thousand tensors


def check_header(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Refuse a file whose list of tensors is so long that reading it would take gigabytes of memory.

    Args:
        path: The file.
        max_bytes: The largest allowed size.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a regular file, or it or its list is too large.
    """
    try:
        size = check_file(path, max_bytes)
        with path.open("rb") as file:
            start = file.read(8)
        header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if MAX_HEADER_BYTES < header <= size:  # if the file is shorter than that, the reader reports it
            raise ValueError(f"its list of tensors has {header:,} bytes, more than {MAX_HEADER_BYTES:,}")
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
