"""What masks say: which pixels of a mask's file are foreground, and whether those of a split can be masks at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ROUNDING = 2.0  # pixels that a side of one box may be off the other's, however small they are
_T = TypeVar("_T")


def foreground(image: Image.Image) -> NDArray[np.bool_]:
    """Return the foreground of a mask, (height, width): whatever is not black, in colors, grays, a palette or 0 and 1.

    Where some of it is transparent, that is background; and where all the rest is black, the rest is foreground: a
    black shape over nothing. JPEG keeps no black exactly, so there foreground is what is brighter than half.
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
    lit, seen = np.asarray(values[..., :-1].any(axis=2)), values[..., -1] > 0
    if seen.all() or not seen.any():
        return lit
    colored = lit & seen
    return colored if colored.any() else seen


def all_alike(masks: Iterable[tuple[_T, Any]]) -> tuple[_T, Literal["empty", "full"]] | None:
    """Whether no mask has a foreground pixel, or none a background pixel: then they are none, or were read wrongly.

    Args:
        masks: arrays or tensors of any shape, not 0 in the foreground, each with what tells it from others. As many
            are taken as it needs: of sound masks one.

    Returns:
        What tells the first from others, and what all of them are; None where they differ, or there are none.
    """
    found: tuple[_T, Literal["empty", "full"]] | None = None
    for name, mask in masks:
        kind: Literal["empty", "full"] = "full" if mask.any() else "empty"
        if (kind == "full" and not mask.all()) or (found and kind != found[1]):
            return None
        found = found or (name, kind)
    return found


def box_elsewhere(
    box: tuple[float, float, float, float], mask: NDArray[np.bool_], min_iou: float
) -> list[float] | None:
    """Return the box around a mask where an object's own box is another one.

    Args:
        box: x, y, width and height, in pixels.
        mask: (height, width).
        min_iou: what the IoU of the two boxes must be at least, unless they differ by rounding only.

    Returns:
        x, y, width and height of the box around the mask; None where the two agree, or the mask is empty.
    """
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    around = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)
    x, y, width, height = box
    own = np.array([x, y, x + width, y + height])
    if _iou(own, around) >= min_iou or np.abs(own - around).max() <= _ROUNDING:
        return None
    left, top, right, bottom = around.tolist()
    return [left, top, right - left, bottom - top]


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the IoU of two boxes, each left, top, right, bottom."""
    common = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    return float(common / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - common))
