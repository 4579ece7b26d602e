"""Mixed precision: what autocast computes in, and a step that the scaler of fp16 skips."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.config.recipe import Recipe
from bench.training.setup import make_accelerator

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("method", ["lora", "cola", "cola-dora", "cola-adalora"])
def test_autocast_computes_in_bfloat16_and_trains_in_float32(make, method):
    exact = make(method, "ave").loss().item()
    subject = make(method, "ave", "train.precision=bf16")
    computed = set()
    for module in subject.model.head.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda module, args, output: computed.add(output.dtype))
    loss = subject.loss()
    assert computed == {torch.bfloat16}
    assert loss.item() != exact and loss.item() == pytest.approx(exact, rel=0.05)
    trained = [p for p in subject.model.parameters() if p.requires_grad]
    loss.backward()
    assert {p.dtype for p in trained} == {p.grad.dtype for p in trained if p.grad is not None} == {torch.float32}
    subject.optimizer.zero_grad()
    subject.model.train()
    for _ in range(3):
        subject.step()
    state = [value for entry in subject.optimizer.state.values() for name, value in entry.items() if name != "step"]
    assert state and {value.dtype for value in state} == {torch.float32}
    assert all(p.isfinite().all() for p in trained) and subject.loss().item() < loss.item()


def test_frozen_weights_in_low_precision_need_half_the_memory(make):
    full, halved = (
        make("cola", "ave", "train.precision=bf16", f"train.low_precision_frozen={value}")
        for value in ("false", "true")
    )

    def linears(subject):
        return sum(
            p.numel() * p.element_size()
            for module in subject.model.modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
            for p in module.parameters(recurse=False)
            if not p.requires_grad
        )

    assert linears(halved) * 2 == linears(full) > 0
    assert halved.loss().item() == pytest.approx(full.loss().item(), rel=0.02)


def scaling_accelerator(device):
    """Return the accelerator of fp16; on a CPU, which has no such precision, the same with the CPU's scaler."""
    if device == "cuda":
        return make_accelerator(device, Recipe(1, 1, 1, 1e-3, 1e-3, 0, 0, 1, "fp16"))
    accelerator = make_accelerator(device, Recipe(1, 1, 1, 1e-3, 1e-3, 0, 0, 1, "no"))
    accelerator.native_amp = True
    accelerator.state._mixed_precision = "fp16"
    accelerator.scaler = torch.amp.GradScaler("cpu")
    return accelerator


def test_a_step_that_overflows_is_skipped_and_the_next_one_is_taken(make, device, monkeypatch):
    accelerator = scaling_accelerator(device)
    subject = make("cola-adalora", "ave", accelerator=accelerator)
    steps, overflows = [], []
    task_loss, after_backward = subject.task.loss, subject.method.after_backward

    def loss(output, batch):
        if overflows:
            output.register_hook(lambda gradient: gradient * float("inf"))
        return task_loss(output, batch)

    def after(step):
        steps.append(step)
        after_backward(step)

    monkeypatch.setattr(subject.task, "loss", loss)
    monkeypatch.setattr(subject.method, "after_backward", after)
    subject.model.train()

    def weights():
        return [p.detach().clone() for p in subject.model.parameters() if p.requires_grad]

    def are_equal(first, second):
        return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    for _ in range(10):  # the scale may be too high at first
        subject.step()
    assert steps
    before, scale, count = weights(), accelerator.scaler.get_scale(), len(steps)
    overflows.append(True)
    subject.step()
    assert are_equal(before, weights()) and len(steps) == count
    assert accelerator.scaler.get_scale() == scale / 2
    overflows.clear()
    subject.step()
    assert not are_equal(before, weights()) and len(steps) == count + 1
    assert all(p.isfinite().all() for p in weights())
