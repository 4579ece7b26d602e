"""Losses of masks, from logits (..., H, W) and masks (..., H, W) from 0 to 1, averaged over images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def focal(logits: Tensor, masks: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return the focal loss, averaged over all pixels: cross-entropy with less weight on pixels predicted well.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Args:
        logits: Logits (..., H, W).
        masks: Masks (..., H, W) from 0 to 1.
        alpha: Weight of the foreground; 1 - alpha is that of the background.
        gamma: Exponent of the weight by difficulty.
    """
    probability = logits.sigmoid()
    correct = probability * masks + (1 - probability) * (1 - masks)
    weight = (alpha * masks + (1 - alpha) * (1 - masks)) * (1 - correct) ** gamma
    return (weight * F.binary_cross_entropy_with_logits(logits, masks, reduction="none")).mean()


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the Dice loss: 1 - (2 |intersection| + 1) / (|predicted| + |true| + 1) of each image.

    Milletari et al., "V-Net", 3DV 2016.

    Args:
        logits: Logits (..., H, W).
        masks: Masks (..., H, W) from 0 to 1.
    """
    probability = logits.sigmoid()
    intersection = (probability * masks).sum((-2, -1))
    return (1 - (2 * intersection + 1) / (probability.sum((-2, -1)) + masks.sum((-2, -1)) + 1)).mean()


def cover(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the fraction (B, T, *size) of each cell of a coarser grid that masks (B, T, H, W) cover."""
    return F.adaptive_avg_pool2d(masks.float(), size).to(torch.float32)
