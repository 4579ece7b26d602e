"""Boxes as (centre x, centre y, width, height), in shares of a square picture's side."""

from __future__ import annotations

import torch
from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """The corners (..., 4), left, top, right, bottom, of boxes (..., 4)."""
    centre, size = boxes.split(2, dim=-1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def iou(first: Tensor, second: Tensor, within: Tensor | None = None) -> Tensor:
    """The intersection over union (...) of boxes (..., 4), one by one; 0 where both are empty.

    Args:
        first: boxes, of which only the part inside `within` counts.
        second: boxes.
        within: left, top, right and bottom edges (..., 4) of what the first boxes are clamped to; None for no clamping.
    """
    one = corners(first)
    if within is not None:
        low, high = within[..., None, :2], within[..., None, 2:]
        one = one.unflatten(-1, (2, 2)).clamp(low, high).flatten(-2)
    both, either = _overlap(one, corners(second))
    return both / either.clamp(min=torch.finfo(either.dtype).tiny)


def giou(first: Tensor, second: Tensor) -> Tensor:
    """The generalised IoU (...), -1 to 1, of boxes (..., 4), one by one: IoU less the share of their hull in neither.

    Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019.
    """
    one, other = corners(first), corners(second)
    both, either = _overlap(one, other)
    hull = (torch.maximum(one, other)[..., 2:] - torch.minimum(one, other)[..., :2]).prod(-1)
    tiny = torch.finfo(either.dtype).eps
    return both / either.clamp(min=tiny) - (hull - either) / hull.clamp(min=tiny)


def _overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of the intersections and of the unions of boxes given by their corners; one turned inside out is empty."""
    sides = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])
    both = sides.clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (one, other)]
    return both, areas[0] + areas[1] - both
