"""Decodes the masks of COCO annotations: polygons, run lengths as numbers, and run lengths as COCO's compressed text.

pycocotools decodes them, but in C that trusts what it is given: a coordinate far outside the picture, or an outline
that goes to and fro over it, takes all memory, and run lengths that do not fill the picture leave whatever the memory
held before. So what a file says is checked here.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

MOST_PARTS = 10_000  # polygons and run lengths of one object; COCO's have a few hundred at most
LONGEST = 1_000_000  # pixels of all outlines of one object; pycocotools makes room for five points in each

# A run length is written in characters of five bits each, of which all but the last have a sixth bit.
_COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])+")


def decode(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels that an annotation's `segmentation` covers.

    Args:
        segmentation: as read from JSON: polygons [[x, y, x, y, ...], ...], run lengths {"size": [height, width],
            "counts": numbers or text}, or a list of such run lengths; what any of them covers is covered.
        size: height and width of the picture, in pixels.

    Returns:
        (height, width), True where covered.

    Raises:
        ValueError: the segmentation is none of these, or does not fit the picture.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    if len(parts) > MOST_PARTS:
        raise ValueError(f"{len(parts):,} parts, more than {MOST_PARTS:,}")
    # A polygon of one or two points covers nothing, and pycocotools would take two for a box.
    parts = [part for part in parts if not (isinstance(part, list) and len(part) < 6)]
    outlines = [_outline(part, size) for part in parts if isinstance(part, list)]
    if sum(outlines) > LONGEST:
        raise ValueError(f"outlines of {sum(outlines):,.0f} pixels, more than {LONGEST:,}")
    runs = [_runs(part, size) for part in parts]
    if not runs:
        raise ValueError("no polygon of three points or more, and no run lengths")
    return np.ascontiguousarray(mask.decode(mask.merge(runs)), dtype=np.bool_)


def _runs(part: Any, size: tuple[int, int]) -> dict[str, Any]:
    """One polygon, or one set of run lengths, as pycocotools' own compressed run lengths."""
    height, width = size
    if isinstance(part, list):
        return mask.frPyObjects([part], height, width)[0]
    if not isinstance(part, dict) or "counts" not in part or part.get("size") != [height, width]:
        raise ValueError(f"neither a polygon nor counts with the picture's size [{height}, {width}]")
    counts = part["counts"]
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != height * width:
            raise ValueError(f"counts that do not add up to the picture's {height * width} pixels")
        return mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    if not isinstance(counts, str) or not _COMPRESSED.fullmatch(counts):
        raise ValueError("counts that are neither numbers nor compressed run lengths")
    runs = {"size": [height, width], "counts": counts.encode("ascii")}
    if mask.encode(mask.decode(runs))["counts"] != runs["counts"]:
        raise ValueError(f"compressed counts that are not as COCO writes them for {height * width} pixels")
    return runs


def _outline(points: list[Any], size: tuple[int, int]) -> float:
    """How long a polygon's outline is, in pixels along the longer axis of each side, a side being one at least.

    Raises:
        ValueError: it is no polygon, or lies outside the picture.
    """
    height, width = size
    if len(points) % 2 or not all(type(value) in (int, float) for value in points):
        raise ValueError("a polygon that is not x, y, x, y, ... in numbers")
    # Drawn by hand, it may reach a little over the edge; none that is sound goes a whole picture beyond. NaN fails too.
    if not all(-width <= x <= 2 * width for x in points[::2]) or not all(
        -height <= y <= 2 * height for y in points[1::2]
    ):
        raise ValueError(f"a polygon that lies outside the picture of {width} x {height} pixels")
    corners = np.array(points, dtype=float).reshape(-1, 2)
    return float(np.maximum(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1), 1).sum())
