"""Interpretation of masks: which pixels of a mask's file are foreground, and whether a split's masks are plausible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ROUNDING = 2.0  # pixels by which the sides of two boxes may differ, however small the boxes are
_T = TypeVar("_T")


def foreground(image: Image.Image) -> NDArray[np.bool_]:
    """Return the foreground of a mask, (height, width): all pixels that are not black, in any color mode.

    Transparent pixels are background. If all opaque pixels are black, they are the foreground: a black shape on a
    transparent background. JPEG does not preserve black exactly, so there pixels brighter than half are foreground.
    """
    if image.format == "JPEG":
        return np.asarray(image.convert("L")) > 127
    if image.mode == "P" or ("transparency" in image.info and image.mode in ("1", "L", "RGB")):
        image = image.convert("RGBA")
    values = np.asarray(image)
    if values.ndim == 2:
        return values > 0
    if image.getbands()[-1] != "A":
        return np.asarray(values.any(axis=2))
    nonblack, opaque = np.asarray(values[..., :-1].any(axis=2)), values[..., -1] > 0
    if opaque.all() or not opaque.any():
        return nonblack
    colored = nonblack & opaque
    return colored if colored.any() else opaque


def all_alike(masks: Iterable[tuple[_T, Any]]) -> tuple[_T, Literal["empty", "full"]] | None:
    """Return whether all masks are empty or all are full; then they are not masks, or were read wrongly.

    Args:
        masks: Pairs of a name and an array or tensor of any shape that is nonzero in the foreground. They are consumed
            only until the answer is clear: one valid mask is enough.

    Returns:
        The name of the first mask, and what all of them are; None if they differ, or if there are none.
    """
    first: tuple[_T, Literal["empty", "full"]] | None = None
    for name, mask in masks:
        kind: Literal["empty", "full"] = "full" if mask.any() else "empty"
        if (kind == "full" and not mask.all()) or (first and kind != first[1]):
            return None
        first = first or (name, kind)
    return first


def box_elsewhere(
    box: tuple[float, float, float, float], mask: NDArray[np.bool_], min_iou: float
) -> list[float] | None:
    """Return the bounding box of a mask if it disagrees with the object's annotated box.

    Args:
        box: The annotated box: x, y, width and height, in pixels.
        mask: The mask, (height, width).
        min_iou: The smallest IoU at which the boxes agree. They also agree if they differ only by rounding.

    Returns:
        X, y, width and height of the mask's bounding box; None if the boxes agree, or if the mask is empty.
    """
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bounds = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)
    x, y, width, height = box
    annotated = np.array([x, y, x + width, y + height])
    if _iou(annotated, bounds) >= min_iou or np.abs(annotated - bounds).max() <= _ROUNDING:
        return None
    x_min, y_min, x_max, y_max = bounds.tolist()
    return [x_min, y_min, x_max - x_min, y_max - y_min]


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the IoU of two boxes, each given by left, top, right and bottom."""
    intersection = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(intersection / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - intersection))
