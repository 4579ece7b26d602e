"""Scores of masks, as AVSBench defines them (Zhou et al., ECCV 2022).

Dimensions in names: B videos, T annotated frames of each, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

BETA2 = 0.3
THRESHOLDS = 255


def miou(probability_BTHW: Tensor, mask_BTHW: Tensor) -> Tensor:
    """M_J: IoU of `probability > 0.5` with the mask, the mean over each video's frames, (B,), 0 to 1.

    Where the mask is empty, the share of pixels predicted empty stands for the IoU.
    """
    guess, mask = probability_BTHW > 0.5, mask_BTHW.bool()
    both = (guess & mask).sum((-2, -1)).double()
    either = (guess | mask).sum((-2, -1)).double()
    empty = (~guess).double().mean((-2, -1))
    return torch.where(mask.any(-1).any(-1), both / either.clamp(min=1), empty).mean(-1)


def f_score(probability_BTHW: Tensor, mask_BTHW: Tensor) -> Tensor:
    """M_F: F with beta^2 = 0.3 at 255 thresholds; the greatest value of the curve averaged over frames, (B,), 0 to 1.

    Frames with an empty mask are left out; a video with no other frame scores 0. AVSBench's own code takes the greatest
    value over a batch of four videos: published scores are lower, and depend on which videos are together.
    """
    mask = mask_BTHW.bool().flatten(-2)
    # The pixels at or over threshold t are counted from a histogram: one pass instead of 255. The thresholds are those
    # of AVSBench, evenly from 0 to 1: a value lies at or over threshold k / 254 from bin k on.
    level = (probability_BTHW.flatten(-2) * (THRESHOLDS - 1) + 1e-4).long().clamp(0, THRESHOLDS - 1)
    frames = torch.arange(mask.shape[0] * mask.shape[1], device=mask.device).view(*mask.shape[:2], 1)
    bins = (frames * 2 + mask) * THRESHOLDS + level
    counts = bins.flatten().bincount(minlength=frames.numel() * 2 * THRESHOLDS)
    missed, hits = counts.view(*mask.shape[:2], 2, THRESHOLDS).double().flip(-1).cumsum(-1).flip(-1).unbind(2)
    guessed = missed + hits
    true = mask.sum(-1, keepdim=True).double()
    precision, recall = hits / guessed.clamp(min=1), hits / true.clamp(min=1)
    curve = (1 + BETA2) * precision * recall / (BETA2 * precision + recall).clamp(min=1e-12)
    annotated = (true > 0).double()
    average = (curve * annotated).sum(1) / annotated.sum(1).clamp(min=1)
    return average.max(-1).values
