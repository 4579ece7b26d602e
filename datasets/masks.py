"""What masks say: which pixels of a mask's file are foreground, and whether those of a split can be masks at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_T = TypeVar("_T")


def foreground(image: Image.Image) -> NDArray[np.bool_]:
    """The foreground of a mask, (height, width): whatever is not black, in colours, greys, a palette or 0 and 1.

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
    coloured = lit & seen
    return coloured if coloured.any() else seen


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
