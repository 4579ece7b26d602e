"""What a picture's file shows: whether all of its rows are there, which way is up, and its colors as RGB."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ENDINGS = (".jpg", ".jpeg", ".png")

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG = b"\x89PNG\r\n\x1a\n"
_VALUES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the color type of a PNG
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # x, y, steps
_PIECE = 2**20  # bytes of a PNG's pixels that are unpacked at a time


def numbered(folder: Path) -> list[Path]:
    """List the pictures in a folder by the numbers in their names: `2.jpg` before `10.jpg`.

    Hidden files, as macOS leaves them (`._0001.jpg`), and files with another ending are none.
    """
    names = (path for path in folder.glob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    return sorted(names, key=lambda path: (_natural(path.stem), path.name))


def _natural(name: str) -> list[str | int]:
    """Split a name into text and numbers by turns."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name))]


def turn(image: Image.Image) -> Image.Transpose | None:
    """Return how a picture must be turned or mirrored to be upright, by its EXIF; None if it is, or that is broken."""
    if "exif" not in image.info:
        return None
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # it says nothing of the pixels, which may be sound
        return None


def is_on_its_side(image: Image.Image) -> bool:
    """Return whether height and width change places when the picture is turned upright."""
    return turn(image) in [_TURNS[orientation] for orientation in (5, 6, 7, 8)]


def rgb(image: Image.Image) -> Image.Image:
    """Return a picture of any mode in RGB: 16 bits of gray as 8, and black where it is transparent."""
    if image.mode.startswith("I"):  # Pillow would make white of all that is above 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("RGB")


def check_rows(content: bytes) -> None:
    """Refuse a PNG that holds fewer rows than its header says: Pillow leaves the others black without a word.

    Args:
        content: the bytes of a file, a PNG or not; its header has been found to be one.

    Raises:
        ValueError: rows are missing.
    """
    if not content.startswith(_PNG):
        return
    needed, found = 0, 0
    unpacked = zlib.decompressobj()
    for kind, data in _chunks(content):
        if kind == b"IHDR":
            needed = _unpacked_size(data)
        while kind == b"IDAT" and data and found < needed and not unpacked.eof:
            found += len(unpacked.decompress(data, _PIECE))
            data = unpacked.unconsumed_tail
    if found < needed:
        raise ValueError(f"rows are missing: it holds {found:,} bytes of pixels, its header asks for {needed:,}")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the data of each chunk of a PNG that is there whole."""
    place = len(_PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += length + 12


def _unpacked_size(header: bytes) -> int:
    """Return how many bytes the rows of a PNG have before they are packed: each begins with one for its filter."""
    width, height, bits, colors, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    size = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            size += rows * (1 + -(-columns * bits * _VALUES[colors] // 8))
    return size
