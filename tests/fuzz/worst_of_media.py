"""The worst pictures, recordings and videos."""

from __future__ import annotations

import struct
import zlib

import valid_files
from worst import MEBIBYTE, add


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, bits: int = 8, colors: int = 6, more: bytes = b"", interlaced: bool = False) -> bytes:
    """Return a picture of zeros: a thousand times as large as its file."""
    header = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, interlaced)
    row = 1 + width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colors] // 8
    packer, packed = zlib.compressobj(9), []
    for _ in range(height):
        packed.append(packer.compress(bytes(row)))
    data = b"".join(packed) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + more + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _text(size: int) -> bytes:
    return _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(size), 9))


add(
    "png",
    {
        "as many pixels as it may have": lambda: _png(5792, 5792),
        "as many of 16 bits": lambda: _png(5792, 5792, 16),
        "one row": lambda: _png(2**25, 1, 1, 0),
        "the longest row": lambda: _png(65_535, 512, 1, 0),
        "too many pixels of a bit": lambda: _png(30_000, 30_000, 1, 0),
        "packed texts": lambda: _png(8, 8, more=_text(900_000) * 1000),
        "one packed text": lambda: _png(8, 8, more=_text(2**30)),
        "chunks": lambda: _png(8, 8, more=_chunk(b"abCd", b"") * (31 * MEBIBYTE // 12)),
        "pieces": lambda: _png(8, 8, more=_chunk(b"IDAT", b"") * (31 * MEBIBYTE // 12)),
        "frames of an animation": lambda: _png(
            2000, 2000, more=_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + _chunk(b"fcTL", bytes(26)) * 100_000
        ),
    },
)
add(
    "jpeg",
    {
        "comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * (7 * MEBIBYTE) + valid_files.jpeg()[0][2:],
        "fillers": lambda: b"\xff\xd8" + b"\xff" * (31 * MEBIBYTE) + valid_files.jpeg()[0][2:],
        "many parts of a profile": lambda: (
            b"\xff\xd8" + (b"\xff\xe2\0\x10ICC_PROFILE\0\1\1") * (1_000_000) + valid_files.jpeg()[0][2:]
        ),
    },
)


def _wav(rate: int, channels: int, bits: int, size: int, declared_size: int | None = None) -> bytes:
    declared_size = size if declared_size is None else declared_size
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * step % 2**32, step % 2**16, bits)
    return (
        b"RIFF"
        + struct.pack("<I", declared_size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", declared_size)
        + bytes(size)
    )


add(
    "wav",
    {
        "as many samples as it may have": lambda: _wav(384_000, 1, 8, 2**26 - 100),
        "as many in two channels": lambda: _wav(192_000, 2, 16, 2**27 - 100),
        "four gigabytes, as it says": lambda: _wav(48_000, 1, 16, 1000, 2**32 - 1),
        "a rate of two billion": lambda: _wav(2**31 - 1, 1, 16, 1000),
        "65,535 channels": lambda: _wav(48_000, 65_535, 16, 2**22),
        "chunks": lambda: (
            b"RIFF"
            + struct.pack("<I", 2**26)
            + b"WAVE"
            + b"abcd\0\0\0\0" * (2**26 // 8)
            + _wav(16_000, 1, 16, 1000)[12:]
        ),
    },
)


def _telling(samples: int) -> bytes:
    content = valid_files.videos()[0]
    at = content.index(b"stsz")
    return content[: at + 8] + struct.pack(">II", 1, samples) + content[at + 16 :]


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), kind) + data


add(
    "mp4",
    {
        "two billion frames": lambda: _telling(2**31),
        "as many frames as it may tell of": lambda: _telling(1_900_000),
        "fragments": lambda: (
            valid_files.videos()[0]
            + _box(
                b"moof", _box(b"traf", _box(b"tfhd", struct.pack(">II", 0, 1)) + _box(b"trun", bytes(4) + b"\x7f" * 4))
            )
        ),
        "streams": lambda: _box(b"ftyp", b"isom\0\0\2\0isom") + _box(b"moov", _box(b"trak", b"") * (2 * MEBIBYTE // 9)),
        "metadata": lambda: (
            _box(b"ftyp", b"isom\0\0\2\0isom")
            + _box(
                b"moov", _box(b"udta", b"".join(_box(b"\xa9%03x" % (n % 4096), b"\0\1\0\0a") for n in range(150_000)))
            )
        ),
        "boxes": lambda: valid_files.videos()[0] + _box(b"free", b"") * (120 * MEBIBYTE // 8),
        "media": lambda: valid_files.videos()[0] + _box(b"mdat", bytes(120 * MEBIBYTE)),
    },
)
