"""Losses of masks, from logits (..., H, W) and masks (..., H, W) of 0 to 1: each the mean over the pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def focal(logits: Tensor, masks: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The focal loss, the mean over all pixels: cross-entropy that counts less where the prediction is right already.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    """
    probability = logits.sigmoid()
    right = probability * masks + (1 - probability) * (1 - masks)
    weight = (alpha * masks + (1 - alpha) * (1 - masks)) * (1 - right) ** gamma
    return (weight * F.binary_cross_entropy_with_logits(logits, masks, reduction="none")).mean()


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """The Dice loss: 1 - 2 |both| / (|predicted| + |true|) of each picture, each count larger by 1.

    Milletari et al., "V-Net", 3DV 2016.
    """
    probability = logits.sigmoid()
    both = (probability * masks).sum((-2, -1))
    return (1 - (2 * both + 1) / (probability.sum((-2, -1)) + masks.sum((-2, -1)) + 1)).mean()


def cover(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of each cell of a coarser grid of `size` masks (B, T, H, W) cover, 0 to 1."""
    return F.adaptive_avg_pool2d(masks.float(), size).to(torch.float32)
