"""Details of picture files: whether all rows are present, the orientation, and conversion to RGB."""

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
_VALUES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # values per pixel, by the color type of a PNG
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # of an interlaced PNG: first x, first y, step in x, step in y
_PIECE = 2**20  # bytes of a PNG's pixels that are decompressed at a time


def numbered(folder: Path) -> list[Path]:
    """Return the pictures in a folder, sorted by the numbers in their names: `2.jpg` before `10.jpg`.

    Hidden files, such as macOS's `._0001.jpg`, and files with other extensions are ignored.
    """
    paths = (path for path in folder.glob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    return sorted(paths, key=lambda path: (_natural(path.stem), path.name))


def _natural(name: str) -> list[str | int]:
    """Split a name into alternating text and numbers."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", name))]


def orientation(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that makes a picture upright, by its EXIF; None if it needs none or EXIF is broken."""
    if "exif" not in image.info:
        return None
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels may still be sound
        return None


def is_on_its_side(image: Image.Image) -> bool:
    """Return whether making a picture upright swaps its height and width."""
    return orientation(image) in [_TURNS[tag] for tag in (5, 6, 7, 8)]


def rgb(image: Image.Image) -> Image.Image:
    """Return a picture of any mode in RGB; 16-bit gray becomes 8-bit, transparent pixels become black."""
    if image.mode.startswith("I"):  # Pillow would turn every value above 255 white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("RGB")


def check_rows(content: bytes) -> None:
    """Refuse a PNG with fewer rows than its header says, since Pillow silently leaves the missing ones black.

    Args:
        content: The bytes of a file whose header is valid; files other than PNGs are accepted.

    Raises:
        ValueError: Rows are missing.
    """
    if not content.startswith(_PNG):
        return
    expected_bytes, pixel_bytes = 0, 0
    decompressor = zlib.decompressobj()
    for kind, data in _chunks(content):
        if kind == b"IHDR":
            expected_bytes = _decompressed_size(data)
        while kind == b"IDAT" and data and pixel_bytes < expected_bytes and not decompressor.eof:
            pixel_bytes += len(decompressor.decompress(data, _PIECE))
            data = decompressor.unconsumed_tail
    if pixel_bytes < expected_bytes:
        raise ValueError(
            f"rows are missing: it has {pixel_bytes:,} bytes of pixels, but its header says {expected_bytes:,}"
        )


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the data of each chunk of a PNG."""
    offset = len(_PNG)
    while offset + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        yield kind, content[offset + 8 : offset + 8 + length]
        offset += length + 12


def _decompressed_size(header: bytes) -> int:
    """Return the number of bytes of a PNG's decompressed rows, each of which starts with a byte for its filter."""
    width, height, bits, colors, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    size = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            size += rows * (1 + -(-columns * bits * _VALUES[colors] // 8))
    return size
