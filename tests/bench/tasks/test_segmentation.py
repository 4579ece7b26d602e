from __future__ import annotations

import pytest
import torch

from bench.tasks.segmentation import f_score, miou


def avsbench_f(probability, mask):
    """Compute the published definition, threshold by threshold, for one video (T, H, W)."""
    curve, frames = torch.zeros(255, dtype=torch.float64), 0
    for p, m in zip(probability.double(), mask.double(), strict=True):
        if m.sum() == 0:
            continue
        for i, threshold in enumerate(torch.linspace(0, 1 - 1e-10, 255, dtype=torch.float64)):
            guess = (p >= threshold).double()
            hits = (guess * m).sum()
            precision, recall = hits / (guess.sum() + 1e-20), hits / (m.sum() + 1e-20)
            value = 1.3 * precision * recall / (0.3 * precision + recall)
            curve[i] += 0.0 if value.isnan() else value
        frames += 1
    return (curve / frames).max() if frames else torch.tensor(0.0)


def test_f_score_is_the_published_one():
    torch.manual_seed(0)
    probability = torch.rand(4, 3, 12, 12)
    mask = torch.rand(4, 3, 12, 12) > 0.6
    mask[1, 0] = False
    mask[2] = False
    expected = torch.stack([avsbench_f(p, m) for p, m in zip(probability, mask, strict=True)]).double()
    torch.testing.assert_close(f_score(probability, mask), expected, atol=1e-6, rtol=0)
    assert expected[2] == 0


def test_f_of_several_videos_at_one_threshold_is_no_higher():
    """What is said beside published scores: those are of four videos together."""
    torch.manual_seed(1)
    mask = torch.rand(4, 5, 12, 12) > 0.6
    mask[3, 2] = False
    probability = (mask * 0.3 + torch.rand(4, 5, 12, 12) * torch.tensor([0.2, 0.4, 0.6, 0.7]).view(4, 1, 1, 1)).clamp(
        0, 1
    )
    frames = mask.flatten(2).any(-1).sum(1).double()
    official = (f_score(probability, mask) * frames).sum() / frames.sum()
    as_one_video = f_score(probability.flatten(0, 1)[None], mask.flatten(0, 1)[None])
    assert as_one_video.item() < official.item() - 0.01


def test_miou_by_hand():
    mask = torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    mask[0, 0, :2] = True  # 8 pixels
    probability = torch.zeros(2, 2, 4, 4)
    probability[0, 0, 1:3] = 0.9  # 8 pixels, 4 of them right: 4 / 12
    probability[0, 1, 0] = 0.51  # mask empty: 12 of 16 predicted empty
    probability[1] = 0.5  # not over a half: all empty, as is right
    assert miou(probability, mask).tolist() == pytest.approx([(4 / 12 + 12 / 16) / 2, 1.0])


def test_a_perfect_mask_scores_one():
    mask = torch.rand(2, 5, 8, 8) > 0.5
    assert miou(mask.float(), mask).tolist() == [1.0, 1.0]
    assert f_score(mask.float(), mask).tolist() == pytest.approx([1.0, 1.0])
