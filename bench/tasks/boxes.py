"""Boxes as (center x, center y, width, height), in fractions of the side of a square image."""

from __future__ import annotations

import torch
from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """Return the corners (..., 4), left, top, right, bottom, of boxes (..., 4)."""
    centre, size = boxes.split(2, dim=-1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def iou(first: Tensor, second: Tensor, bounds: Tensor | None = None) -> Tensor:
    """Return the intersection over union (...) of pairs of boxes; 0 if both are empty.

    Args:
        first: Boxes (..., 4).
        second: Boxes (..., 4).
        bounds: Edges (..., 4), left, top, right, bottom, that the first boxes are clamped to; None for no clamping.
    """
    clamped = corners(first)
    if bounds is not None:
        low, high = bounds[..., None, :2], bounds[..., None, 2:]
        clamped = clamped.unflatten(-1, (2, 2)).clamp(low, high).flatten(-2)
    intersection, union = _overlap(clamped, corners(second))
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def giou(first: Tensor, second: Tensor) -> Tensor:
    """Return the generalized IoU (...), from -1 to 1, of pairs of boxes (..., 4).

    It is the IoU minus the fraction of the boxes' hull that is in neither box. Rezatofighi et al., "Generalized
    Intersection over Union", CVPR 2019.
    """
    a, b = corners(first), corners(second)
    intersection, union = _overlap(a, b)
    hull = (torch.maximum(a, b)[..., 2:] - torch.minimum(a, b)[..., :2]).prod(-1)
    tiny = torch.finfo(union.dtype).eps
    return intersection / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of intersections and unions of boxes given by corners; an inverted box is empty."""
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    intersection = sides.clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (a, b)]
    return intersection, areas[0] + areas[1] - intersection
