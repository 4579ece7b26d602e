from __future__ import annotations

import math

import pytest
import torch

from bench.tasks.mask_losses import cover, dice, focal


def test_focal_by_hand():
    """P = 0.8: where the mask is 1, 0.25 (1 - 0.8)^2 (-log 0.8); where it is 0, 0.75 0.8^2 (-log 0.2)."""
    logit = math.log(0.8 / 0.2)
    logits, masks = torch.full((1, 1, 2), logit), torch.tensor([[[1.0, 0.0]]])
    expected = (0.25 * 0.2**2 * -math.log(0.8) + 0.75 * 0.8**2 * -math.log(0.2)) / 2
    assert focal(logits, masks).item() == pytest.approx(expected, rel=1e-5)


def test_dice_by_hand():
    """Probabilities of 1/2 on two of four pixels, one of them true: 1 - (2 * 0.5 + 1) / (2 + 1 + 1)."""
    logits, masks = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert dice(logits, masks).item() == pytest.approx(1 - (2 * 0.5 + 1) / (4 * 0.5 + 1 + 1))
    assert dice(torch.where(masks > 0, 50.0, -50.0), masks).item() == pytest.approx(0, abs=1e-6)


def test_dice_is_a_mean_over_pictures():
    logits, masks = torch.randn(3, 1, 4, 4), (torch.rand(3, 1, 4, 4) > 0.5).float()
    losses = torch.stack([dice(logits[i : i + 1], masks[i : i + 1]) for i in range(3)])
    assert dice(logits, masks).item() == pytest.approx(losses.mean().item(), rel=1e-5)


def test_cover():
    masks = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    masks[..., :2, :1] = 255
    assert (cover(masks, (2, 2)) / 255).tolist() == [[[[0.5, 0.0], [0.0, 0.0]]]]
