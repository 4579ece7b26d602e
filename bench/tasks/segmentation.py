"""Scores of masks, as AVSBench defines them (Zhou et al., ECCV 2022).

Dimensions in names: B videos, T annotated frames of each, H and W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BETA2 = 0.3
THRESHOLDS = 255


def miou(probability_BTHW: Tensor, mask_BTHW: Tensor, threshold: float = 0.5) -> Tensor:
    """Return M_J, (B,) from 0 to 1: the IoU of `probability > threshold` with the mask, averaged over a video's frames.

    If the mask is empty, the fraction of pixels predicted empty replaces the IoU.
    """
    predicted, mask = probability_BTHW > threshold, mask_BTHW.bool()
    common, in_prediction, in_mask = pixels(predicted & mask), pixels(predicted), pixels(mask)
    union = in_prediction + in_mask - common
    size = math.prod(mask.shape[-2:])
    empty = (size - in_prediction).double() / size
    return torch.where(in_mask > 0, common.double() / union.clamp(min=1), empty).mean(-1)


def pixels(mask_BTHW: Tensor) -> Tensor:
    """Return the number of pixels of boolean masks, (B, T), at most 32767 pixels wide.

    Torch sums bytes several times as fast as booleans, and again in 16 bits, which suffice for a row.
    """
    return mask_BTHW.view(torch.uint8).sum(-1, dtype=torch.int16).sum(-1, dtype=torch.int32)


def f_score(probability_BTHW: Tensor, mask_BTHW: Tensor) -> Tensor:
    """Return M_F, (B,) from 0 to 1: F with beta^2 = 0.3 at its best of 255 thresholds.

    The curve of F over thresholds is averaged over a video's frames before its maximum is taken. Frames with an empty
    mask are left out; a video without any other frame scores 0. AVSBench's own code takes the maximum over a batch of
    four videos: published scores are lower and depend on how videos are batched.
    """
    mask = mask_BTHW.bool().flatten(-2)
    # The pixels at or above each threshold are counted from a histogram, in one pass instead of 255. As in AVSBench,
    # thresholds are spread evenly from 0 to 1: a value is at or above threshold k / 254 from bin k on.
    level = (probability_BTHW.flatten(-2) * (THRESHOLDS - 1)).add_(1e-4).int().clamp_(0, THRESHOLDS - 1)
    frames = torch.arange(mask.shape[0] * mask.shape[1], device=mask.device, dtype=torch.int32)
    bins = level.add_(mask, alpha=THRESHOLDS).add_(frames.view(*mask.shape[:2], 1), alpha=2 * THRESHOLDS)
    counts = bins.flatten().bincount(minlength=frames.numel() * 2 * THRESHOLDS)
    false_positives, true_positives = (
        counts.view(*mask.shape[:2], 2, THRESHOLDS).double().flip(-1).cumsum(-1).flip(-1).unbind(2)
    )
    predicted = false_positives + true_positives
    true = true_positives[..., :1]  # at the lowest threshold all pixels are predicted
    precision, recall = true_positives / predicted.clamp(min=1), true_positives / true.clamp(min=1)
    curve = (1 + BETA2) * precision * recall / (BETA2 * precision + recall).clamp(min=1e-12)
    annotated = (true > 0).double()
    average = (curve * annotated).sum(1) / annotated.sum(1).clamp(min=1)
    return average.max(-1).values
