"""What is looked at in an MP4 file before FFmpeg opens it: its tables can ask for room that the file does not have."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from bench.files import MEBIBYTE, check_file

MAX_BYTES = 128 * MEBIBYTE  # bytes of a file; AVE's videos have a few MiB
MAX_HEADER_BYTES = 2 * MEBIBYTE  # bytes of all that is not media; ten minutes of it have one
MAX_BOXES = 10_000  # outermost ones; a file has four, or two for each fragment
MAX_TRACKS = 100  # FFmpeg ends at 1,000, and says then that memory has run out; a video has two
MAX_SAMPLES = 2_000_000  # frames of picture and packets of sound; ten minutes have 100,000

_MEDIA = (b"mdat", b"free", b"skip", b"wide")
# Tables that say in a few bytes how many samples there are, and where behind the box's name that number stands.
_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
_NAMES = re.compile(rb"stsz|stz2|trun|cmov|trak")


def check(path: Path) -> None:
    """Refuse a file for which FFmpeg would make room by the gigabyte, or go through for hours.

    Names of boxes are looked for wherever they stand but in the media itself, whatever the boxes around them.

    Raises:
        OSError: there is no such file.
        ValueError: it is no regular file, too large, or has too large a header, or too many tracks or samples.
    """
    if not check_file(path, MAX_BYTES):
        raise ValueError("it is empty")
    header = samples = tracks = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for number, (kind, start, end) in enumerate(_boxes(content)):
            if number == MAX_BOXES:
                raise ValueError(f"it has more than {MAX_BOXES:,} boxes")
            if kind == b"mdat":
                continue
            header += 0 if kind in _MEDIA else end - start
            for found in _NAMES.finditer(content, start, end):
                if found[0] == b"cmov":
                    raise ValueError("it has a compressed header")
                if found[0] == b"trak":
                    tracks += 1
                    continue
                at = found.end() + _COUNTS[found[0]]
                if at + 4 <= end:
                    samples += struct.unpack_from(">I", content, at)[0]
    if header > MAX_HEADER_BYTES:
        raise ValueError(f"it has {header:,} bytes that are no media, more than {MAX_HEADER_BYTES:,}")
    if tracks > MAX_TRACKS:
        raise ValueError(f"it has {tracks:,} tracks, more than {MAX_TRACKS:,}")
    if samples > MAX_SAMPLES:
        raise ValueError(f"it has {samples:,} frames and packets, more than {MAX_SAMPLES:,}")


def _boxes(content: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each outermost box, and where it begins and ends."""
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if size == 1 and at + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, at + 8)
        # A length of 0 is up to the end of the file; a wrong one is, as FFmpeg may look for boxes anywhere then.
        end = at + size if 8 <= size <= len(content) - at else len(content)
        yield kind, at, end
        at = end
