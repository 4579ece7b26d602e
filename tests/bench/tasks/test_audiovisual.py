"""What AVE and AVS let be set of their loss and augmentation, as those who follow a published protocol need it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bench.config.plan import RunRequest, make_plan
from bench.tasks.ave import AVE, softmax_bce
from bench.tasks.avs import AVS, AVSMulti


def test_binary_cross_entropy_of_the_softmax_by_hand():
    """Probabilities of 1/2, 1/4 and 1/4, of which the first is right."""
    logits = torch.tensor([[[math.log(2), 0.0, 0.0]]])
    loss = AVE(criterion="softmax_bce").loss(logits, {"label": torch.tensor([[0]])})
    assert loss.item() == pytest.approx(-(math.log(1 / 2) + 2 * math.log(3 / 4)) / 3)
    assert AVE().loss(logits, {"label": torch.tensor([[0]])}).item() == pytest.approx(math.log(2))


def test_it_is_torchs_own_of_the_softmax():
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(40, 29, generator=generator, dtype=torch.float64)).requires_grad_()
    label = torch.randint(29, (40,), generator=generator)
    actual = softmax_bce(logits, label)
    expected = F.binary_cross_entropy(logits.softmax(-1), F.one_hot(label, 29).double())
    torch.testing.assert_close(actual, expected)
    (gradient,), (expected_gradient,) = (
        torch.autograd.grad(loss, logits, retain_graph=True) for loss in (actual, expected)
    )
    torch.testing.assert_close(gradient, expected_gradient)


def test_it_stays_finite_and_exact_where_probabilities_round_to_0_and_1():
    logits = torch.tensor([[100.0, 0.0, 0.0]], requires_grad=True)
    loss = softmax_bce(logits, torch.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx((100 + 100 - math.log(2)) / 3)
    assert logits.grad.isfinite().all() and logits.grad[0, 0].item() == pytest.approx(2 / 3)
    assert softmax_bce(torch.tensor([[100.0, 0.0, 0.0]]), torch.tensor([0])).item() < 1e-30


@pytest.mark.parametrize("task", [AVE, AVS, AVSMulti])
def test_without_augmentation_a_batch_stays_as_it_is(task):
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 3, 8, 8)
    batch = {"vision": torch.randint(256, shape, dtype=torch.uint8), "audio": torch.randn(2, 3, 98, 16)}
    batch["mask"] = torch.rand(2, 3, 8, 8) < 0.5
    initial = generator.get_state()
    plain = task(augmentation=False).augment(dict(batch), generator)
    assert plain.keys() == batch.keys() and all(plain[name] is batch[name] for name in batch)
    assert torch.equal(generator.get_state(), initial)
    changed = task().augment(dict(batch), generator)
    assert not torch.equal(changed["audio"], batch["audio"])


def test_settings_that_came_later_leave_ids_alone():
    assert AVE().to_config() == {"hidden": 512}
    assert AVS().to_config() == AVSMulti().to_config() == {"hidden": 64, "positive_weight": 1.0}
    (plain,) = make_plan(RunRequest("mini", ["lora"], ["ave"]))
    (explicit,) = make_plan(
        RunRequest("mini", ["lora"], ["ave"], [0], ["ave.augmentation=true", "ave.criterion=cross_entropy"])
    )
    (second,) = make_plan(
        RunRequest("mini", ["lora"], ["ave"], [0], ["ave.augmentation=false", "ave.criterion=softmax_bce"])
    )
    assert plain.id == explicit.id != second.id
    assert second.task_settings == plain.task_settings | {"augmentation": False, "criterion": "softmax_bce"}
