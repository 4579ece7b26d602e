from __future__ import annotations

from types import SimpleNamespace

import torch

from bench.tasks.ave import AVE
from bench.tasks.avs import AVS
from bench.tasks.heads import ClassTokens, MaskDecoder
from bench.tasks.model import Head, TaskModel


def test_class_tokens_reads_nothing_but_the_class_tokens():
    torch.manual_seed(0)
    head = ClassTokens({"vision": 8, "audio": 6}, hidden=16, classes=5)
    states = {"audio": torch.randn(3, 4, 6), "vision": torch.randn(3, 7, 8)}
    output = head(states, {})
    assert output.shape == (3, 5)
    changed = {name: torch.cat([x[:, :1], torch.randn_like(x[:, 1:])], dim=1) for name, x in states.items()}
    torch.testing.assert_close(head(changed, {}), output)
    assert sum(p.numel() for p in head.parameters()) == (14 * 16 + 16) + (16 * 5 + 5)


def test_a_stream_without_a_class_token_tells_the_mean_of_its_tokens():
    torch.manual_seed(0)
    head = ClassTokens({"vision": 8, "audio": 6}, hidden=16, classes=5)
    head.special = {"vision": 0, "audio": 2}
    states = {"audio": torch.randn(3, 4, 6), "vision": torch.randn(3, 9, 8)}
    output = head(states, {})
    swapped = {"audio": states["audio"], "vision": states["vision"].flip(1)}
    torch.testing.assert_close(head(swapped, {}), output)
    assert (head(states | {"vision": states["vision"] + 1}, {}) - output).abs().max() > 1e-3
    other_sound = torch.cat([states["audio"][:, :1], torch.randn(3, 3, 6)], dim=1)
    torch.testing.assert_close(head(states | {"audio": other_sound}, {}), output)


def test_mask_decoder_keeps_places_and_hears():
    torch.manual_seed(0)
    head = MaskDecoder(vision=8, audio=6, hidden=16).eval()
    tokens, sound = torch.randn(2, 1 + 49, 8), torch.randn(2, 3, 6)
    output = head({"vision": tokens, "audio": sound}, {})
    assert output.shape == (2, 28, 28)
    moved = tokens.clone()
    moved[:, -1] += 5.0  # the last token is the lower right patch
    change = (head({"vision": moved, "audio": sound}, {}) - output).abs().amax(0)
    assert change[-4:, -4:].min() > 0 and change[:14, :14].max() == 0
    assert (head({"vision": tokens, "audio": sound + 1}, {}) - output).abs().max() > 1e-4


def test_ave_scores_seconds_of_each_video():
    label = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 0]])
    output = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2, 0], [1, 1, 1, 0]]), 3).float()
    assert AVE().score(output, {"label": label})["accuracy"].tolist() == [75.0, 25.0]
    assert AVE().loss(output * 100, {"label": label}) > AVE().loss(100 * torch.eye(3)[label], {"label": label})


def test_avs_compares_masks_at_their_own_resolution():
    mask = torch.zeros(1, 1, 224, 224, dtype=torch.bool)
    mask[..., :112] = True
    logits = torch.full((1, 1, 28, 28), -20.0)
    logits[..., :14] = 20.0
    assert AVS().score(logits, {"mask": mask})["miou"].item() > 97
    assert AVS().loss(logits, {"mask": mask}) < 1e-6 < AVS().loss(-logits, {"mask": mask})


class Pooled(Head):
    """Which of a sample's inputs has the largest summary; logits (B, T) need all inputs of a sample at once."""

    pools = True

    def forward(self, states, masks):
        return self.summary(states, "text", masks).mean(-1).log_softmax(-1)


def test_a_head_that_pools_reads_the_inputs_of_a_sample_together():
    model = TaskModel(SimpleNamespace(streams={}), Pooled())
    model.head.special = {"text": 0}  # so that the summary is the mean of all words but padding
    states_BTND, mask_BTN = torch.randn(2, 3, 4, 5), torch.ones(2, 3, 4, dtype=torch.bool)
    states_BTND[..., 2:, :] = 1e3
    mask_BTN[..., 2:] = False
    output = model({"state of text": states_BTND, "mask of text": mask_BTN})
    torch.testing.assert_close(output, states_BTND[..., :2, :].mean((-1, -2)).log_softmax(-1))
