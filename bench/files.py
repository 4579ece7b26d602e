"""Reads files that others wrote: not before it is known that they are files, and no larger than such a file may be.

And writes whole files or none, and tidies up after processes that were killed while they wrote one.
"""

from __future__ import annotations

import glob
import json
import os
import stat
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20


def check_file(path: Path, most: int) -> int:
    """Makes sure that a file can be read in whole. Links are followed: see `bench.datasets.layout.is_plain`.

    Args:
        path: the file.
        most: bytes that it may have.

    Returns:
        Bytes that it has.

    Raises:
        OSError: there is no such file.
        ValueError: it is larger, or is no regular file: a pipe would be waited for, and a device never ends.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, more than the {most:,} that such a file may have")
    return status.st_size


def read_bytes(path: Path, most: int) -> bytes:
    """All bytes of a file; arguments and errors are those of `check_file`."""
    size = check_file(path, most)
    with path.open("rb") as file:
        return file.read(size)


def read_text(path: Path, most: int) -> str:
    """A text file in UTF-8, with or without a byte order mark; line ends are left as they are.

    Arguments and errors are those of `check_file`; text in another encoding is a ValueError too.
    """
    return read_bytes(path, most).decode("utf-8-sig")


def read_json(path: Path, most: int) -> Any:
    """What a JSON file holds, as plain values.

    Arguments and errors are those of `check_file`; what is no JSON, or goes too deep, is a ValueError too.
    """
    content = read_bytes(path, most)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("lists and tables lie too deep in one another") from None


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all: readers see what was there before or all of `text`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Removes what processes left behind that were killed while they wrote this file, whole or not at all.

    Only for a file that one process writes at a time, as those of a run: whoever has claimed it.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)
