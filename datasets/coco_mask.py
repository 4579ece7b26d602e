"""Decodes the masks of COCO annotations: polygons, run lengths as numbers, and run lengths as COCO's compressed text.

pycocotools decodes them in C code that trusts its input: a coordinate far outside the picture, or an outline that
crosses it back and forth, takes all memory, and run lengths that do not fill the picture expose uninitialized memory.
It also takes time in proportion to the number of parts times that of pixels. So the input is checked here, and parts
are merged as run lengths.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

MAX_BYTES = 4 * 2**20  # of an object's segmentation; COCO's have some thousand
MAX_PARTS = 10_000  # polygons and run lengths of one object; COCO's have a few hundred at most
MAX_OUTLINE_PIXELS = 1_000_000  # in all outlines of one object; pycocotools allocates five points for each pixel

# A run length is written in characters of five bits each; all but the last also have a sixth bit set.
_COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])+")


def decode(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of an annotation's `segmentation`.

    Args:
        segmentation: The segmentation as read from JSON: polygons [[x, y, x, y, ...], ...], run lengths {"size":
            [height, width], "counts": numbers or text}, or a list of such run lengths. The mask is the union of them.
        size: Height and width of the picture, in pixels.

    Returns:
        The mask, (height, width), True inside.

    Raises:
        ValueError: The segmentation has none of these forms, or does not fit the picture.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(parts):,} parts, more than {MAX_PARTS:,}")
    # A polygon of one or two points covers nothing, and pycocotools would read two points as a box.
    parts = [part for part in parts if not (isinstance(part, list) and len(part) < 6)]
    outlines = [_outline(part, size) for part in parts if isinstance(part, list)]
    if sum(outlines) > MAX_OUTLINE_PIXELS:
        raise ValueError(f"outlines of {sum(outlines):,.0f} pixels, more than {MAX_OUTLINE_PIXELS:,}")
    runs = [_runs(part, size) for part in parts]
    if not runs:
        raise ValueError("no polygon of three points or more, and no run lengths")
    return _union(runs, size)


def decode_json(text: bytes | None, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a segmentation from JSON text as `decode` does.

    Args:
        text: The JSON text; None for an annotation without a segmentation.
        size: As for `decode`.

    Raises:
        ValueError: There is no segmentation, or it is too large, or as for `decode`.
    """
    if text is not None and len(text) > MAX_BYTES:
        raise ValueError(f"{len(text):,} bytes, more than {MAX_BYTES:,}")
    try:
        return decode(json.loads(text or b"null"), size)
    except RecursionError:
        raise ValueError("lists that are nested too deeply") from None


def _runs(part: Any, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return a part's run lengths, alternating background and foreground, down the columns."""
    height, width = size
    if isinstance(part, list):
        return _uncompressed(mask.frPyObjects([part], height, width)[0]["counts"])
    if not isinstance(part, dict) or "counts" not in part or part.get("size") != [height, width]:
        raise ValueError(f"neither a polygon nor counts with the picture's size [{height}, {width}]")
    counts = part["counts"]
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != height * width:
            raise ValueError(f"counts that do not add up to the picture's {height * width} pixels")
        return np.array(counts, dtype=np.int64)
    if not isinstance(counts, str) or not _COMPRESSED.fullmatch(counts):
        raise ValueError("counts that are neither numbers nor compressed run lengths")
    text = counts.encode("ascii")
    runs = _uncompressed(text)
    if runs[0] < 0 or (runs[1:] <= 0).any() or runs.sum() != height * width or _compressed(runs, size) != text:
        raise ValueError(f"compressed counts that are not valid for {height * width} pixels in COCO's encoding")
    return runs


def _uncompressed(text: bytes) -> NDArray[np.int64]:
    """Return run lengths from COCO's text: five bits per character, with differences from the third one on.

    See `rleFrString` in COCO's maskApi.c.
    """
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    bits = 5 * (np.arange(len(codes)) - np.repeat(starts, ends - starts + 1))
    runs = np.add.reduceat((codes & 31) << bits, starts)
    runs -= ((codes[ends] & 16) >> 4) << (bits[ends] + 5)  # the highest bit is the sign's
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def _compressed(runs: NDArray[np.int64], size: tuple[int, int]) -> bytes:
    return mask.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)["counts"]


def _union(parts: list[NDArray[np.int64]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the union of the parts, in time proportional to the sum, not the product, of their runs and the pixels."""
    edges = [np.cumsum(runs) for runs in parts]
    empty = [np.zeros(1, dtype=np.int64)]  # covers 0 to 0, so that there is at least one start and one end
    starts = np.sort(np.concatenate(empty + [bounds[: 2 * (len(bounds) // 2) : 2] for bounds in edges]))
    ends = np.sort(np.concatenate(empty + [bounds[1::2] for bounds in edges]))
    # Where as many runs have ended as have started, nothing is covered up to the next start.
    is_gap = starts[1:] > ends[:-1]
    covered = np.stack([starts[np.append(True, is_gap)], ends[np.append(is_gap, True)]], axis=1)
    bounds = np.concatenate([[0], covered.ravel(), [size[0] * size[1]]])
    pixels = np.repeat(np.arange(len(bounds) - 1) % 2 == 1, np.diff(bounds))
    return np.ascontiguousarray(pixels.reshape(size[1], size[0]).T)


def _outline(points: list[Any], size: tuple[int, int]) -> float:
    """Return the length of a polygon's outline in pixels: for each side its longer axis, at least 1.

    Raises:
        ValueError: It is not a polygon, or is outside the picture.
    """
    height, width = size
    if len(points) % 2 or not all(type(value) in (int, float) for value in points):
        raise ValueError("a polygon that is not a list of numbers x, y, x, y, ...")
    # Drawn by hand, a polygon may extend slightly beyond the edge, but not by a whole picture. NaN fails too.
    if not all(-width <= x <= 2 * width for x in points[::2]) or not all(
        -height <= y <= 2 * height for y in points[1::2]
    ):
        raise ValueError(f"a polygon outside the picture of {width} x {height} pixels")
    corners = np.array(points, dtype=float).reshape(-1, 2)
    return float(np.maximum(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1), 1).sum())
