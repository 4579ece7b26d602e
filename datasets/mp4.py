"""Checks of an MP4 file before FFmpeg opens it, since its tables can request far more memory than the file's size."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from bench.files import MEBIBYTE, check_file

MAX_BYTES = 128 * MEBIBYTE  # AVE's videos have a few MiB
MAX_HEADER_BYTES = 2 * MEBIBYTE  # everything but the media; a video of ten minutes has one MiB
MAX_BOXES = 10_000  # at the top level; a file has four, or two per fragment
MAX_TRACKS = 100  # a video has two; at 1,000 FFmpeg stops and reports that memory ran out
MAX_SAMPLES = 2_000_000  # video frames and audio packets; ten minutes have 100,000

_MEDIA = (b"mdat", b"free", b"skip", b"wide")
# Tables that state a number of samples in a few bytes, and the offset of that number after the box's name.
_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
_NAMES = re.compile(rb"stsz|stz2|trun|cmov|trak")


def check(path: Path) -> None:
    """Refuse a file for which FFmpeg would allocate gigabytes or run for hours.

    Names of boxes are searched for everywhere except in the media, regardless of how boxes are nested.

    Raises:
        OSError: There is no such file.
        ValueError: It is not a regular file, is too large, or has too large a header or too many tracks or samples.
    """
    if not check_file(path, MAX_BYTES):
        raise ValueError("it is empty")
    header = samples = tracks = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for number, (kind, start, end) in enumerate(_boxes(content)):
            if number == MAX_BOXES:
                raise ValueError(f"it has more than {MAX_BOXES:,} top-level boxes")
            if kind == b"mdat":
                continue
            header += 0 if kind in _MEDIA else end - start
            for match in _NAMES.finditer(content, start, end):
                if match[0] == b"cmov":
                    raise ValueError("it has a compressed header")
                if match[0] == b"trak":
                    tracks += 1
                    continue
                offset = match.end() + _COUNTS[match[0]]
                if offset + 4 <= end:
                    samples += struct.unpack_from(">I", content, offset)[0]
    if header > MAX_HEADER_BYTES:
        raise ValueError(f"it has {header:,} bytes besides the media, more than {MAX_HEADER_BYTES:,}")
    if tracks > MAX_TRACKS:
        raise ValueError(f"it has {tracks:,} tracks, more than {MAX_TRACKS:,}")
    if samples > MAX_SAMPLES:
        raise ValueError(f"it has {samples:,} frames and packets, more than {MAX_SAMPLES:,}")


def _boxes(content: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the start and the end of each top-level box."""
    start = 0
    while start + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, start)
        if size == 1 and start + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, start + 8)
        # A length of 0 means up to the end of the file. So does an invalid one here, as FFmpeg may then look anywhere.
        end = start + size if 8 <= size <= len(content) - start else len(content)
        yield kind, start, end
        start = end
