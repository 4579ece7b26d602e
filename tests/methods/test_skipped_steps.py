"""Gradients that are not finite: what a step that fp16 skips leaves as it was, and what ends a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from bench.config.recipe import Recipe
from bench.methods.adalora import AdaLoRA
from bench.methods.lora import LoRA
from bench.records.schema import Epoch
from bench.training.optimizer import make_optimizer
from bench.training.step import take_step
from bench.training.trainer import DivergedError, best_epoch, train

RECIPE = Recipe(1, 2, 2, 1e-2, 1e-2, 0.0, 0.0, 1.0, "no")


def half_precision() -> Accelerator:
    """Return the accelerator of `precision=fp16` on a GPU, computing in float32: it scales losses and skips steps."""
    accelerator = Accelerator(cpu=True)
    accelerator.native_amp = True
    accelerator.state._mixed_precision = "fp16"
    accelerator.scaler = torch.amp.GradScaler("cpu")
    return accelerator


class Task:
    """A task without labels; in the steps of `bad` the loss is finite and its gradient is not."""

    metric = "nothing"

    def __init__(self, bad=()):
        self.bad, self.step = bad, 0

    def augment(self, batch, generator):
        return batch

    def loss(self, output, batch):
        if self.step in self.bad:
            output.register_hook(lambda gradient: gradient * float("inf"))
        self.step += 1
        return output.square().mean()

    def score(self, output, batch):
        return {"nothing": torch.zeros(len(output))}

    def summarize(self, measured):
        return {name: values.mean().item() for name, values in measured.items()}


class Model(nn.Module):
    """Streams, and a head that is trained where it has parameters."""

    def __init__(self, streams, head=None):
        super().__init__()
        self.streams, self.head = streams, head or nn.Identity()

    def forward(self, batch):
        return self.head(torch.cat([tokens[:, 0] for tokens in self.streams(batch).values()], dim=1))


class Noted(AdaLoRA):
    """AdaLoRA that notes the steps at which it had its turn."""

    def before_training(self, steps):
        super().before_training(steps)
        self.turns = []

    def after_backward(self, step):
        super().after_backward(step)
        self.turns.append(step)


def ranks(method: AdaLoRA) -> set[float]:
    """Return the mean number of non-zero singular values of each stream."""
    actual = set()
    for model in method.adapters.models.values():
        values = [p for key, p in model.named_parameters() if "lora_E" in key]
        actual.add(sum(int(p.count_nonzero()) for p in values) / len(values))
    return actual


@pytest.fixture
def trained(make_model, make_inputs):
    """Trains a method on two tiny streams for ten steps, of which some have gradients that are not finite."""

    def run(method, bad, accelerator, steps=10):
        streams = make_model(dtype=torch.float32)
        method.attach(streams)
        samples = make_inputs(streams, batch=2 * steps)
        split = [{name: values[i] for name, values in samples.items()} for i in range(2 * steps)]
        train(Model(streams), method, Task(bad), RECIPE, {"train": split, "val": split}, accelerator, seed=0, label="")
        return method

    return run


# Of ten steps: the first two, one between, that at which PEFT fixes the ranks and the one after it, all before that.
@pytest.mark.parametrize("bad", [(), (0, 1), (4,), (7,), (7, 8), tuple(range(7)), tuple(range(9))])
def test_a_skipped_step_allocates_nothing_and_the_ranks_still_come_to_the_target(trained, bad):
    method = trained(Noted(init_r=6), bad, half_precision())
    assert method.turns == [step for step in range(10) if step not in bad]
    assert ranks(method) == {4}
    assert all(p.isfinite().all() for p in method.model.parameters())
    for state in method.training_state().values():
        assert all(value.isfinite().all() for kind in state["importance"].values() for value in kind.values())


def test_importances_are_finite_after_a_skipped_step(trained):
    method = trained(Noted(init_r=6, warmup=0.5, final=0.2), (3,), half_precision(), steps=5)
    (single, *_) = method.adapters.models.values()
    assert single.peft_config["default"].rank_pattern, "it has been fixed"
    assert ranks(method) == {4}


def test_where_all_steps_are_skipped_nothing_is_allocated(trained):
    method = trained(Noted(init_r=6), tuple(range(10)), half_precision())
    assert method.turns == []
    assert all(model.peft_config["default"].rank_pattern is None for model in method.adapters.models.values())


def test_a_head_that_was_trained_before_gets_its_gradients_unscaled_once(make_model, make_inputs):
    """Accelerate keeps every optimizer that it prepares: here one that trained the head alone, as `head_first` does."""
    actual = []
    for initial in (False, True):
        torch.manual_seed(0)
        streams = make_model(dtype=torch.float32)
        method = LoRA(r=2)
        method.attach(streams)
        model = Model(streams, nn.Linear(56, 3))
        inputs = make_inputs(streams)
        accelerator = half_precision()
        if initial:
            accelerator.prepare(torch.optim.AdamW(model.head.parameters(), fused=True))
        wrapped, optimizer = accelerator.prepare(model, make_optimizer(model, RECIPE, method))
        take_step(wrapped, method, Task(), inputs, optimizer, accelerator, clip=0.1, step=0)
        state = optimizer.state[model.head.weight]
        actual.append(state["exp_avg"].clone())
    assert actual[0].any()
    torch.testing.assert_close(actual[1], actual[0])


def test_weights_that_the_last_step_has_spoilt_end_the_run(trained):
    with pytest.raises(DivergedError, match="weights are not finite after step 10"):
        trained(LoRA(r=2), (9,), Accelerator(cpu=True))


def test_a_scale_that_falls_without_end_ends_the_run(trained):
    steps = 45
    with pytest.raises(DivergedError, match="up to step 45, gradients are not finite in fp16"):
        trained(LoRA(r=2), tuple(range(steps)), half_precision(), steps)


def test_an_epoch_without_a_score_is_never_the_best():
    nan, inf = float("nan"), float("inf")
    curve = [Epoch(i, i, 0.0, {"miou": score}) for i, score in enumerate((nan, 3.0, nan, 5.0, inf), start=1)]
    assert best_epoch(curve, "miou") == 4
    assert best_epoch(curve[:1], "miou") == 1
    assert best_epoch([replace(curve[1], scores={"miou": -3.0}), curve[0]], "miou") == 2


class AddsATerm(LoRA):
    """Adds a term without a gradient, so that only the loss is not finite."""

    term = float("nan")

    def loss(self):
        return torch.tensor(self.term)


@pytest.mark.parametrize("term", ["nan", "inf"])
def test_a_term_of_the_method_that_is_not_finite_ends_the_run(term, trained, monkeypatch):
    monkeypatch.setattr(AddsATerm, "term", float(term))
    with pytest.raises(DivergedError, match=f"with the term that the method adds, the loss is {term} at step 1"):
        trained(AddsATerm(r=2), (), Accelerator(cpu=True))


def test_a_step_returns_the_loss_of_the_task_and_the_total(trained, monkeypatch):
    steps = []
    monkeypatch.setattr(AddsATerm, "term", 1e4)
    monkeypatch.setattr(
        "bench.training.trainer.take_step", lambda *args, **rest: steps.append(take_step(*args, **rest)) or steps[-1]
    )
    trained(AddsATerm(r=2), (), Accelerator(cpu=True), steps=2)
    assert all(step.total == step.task + 1e4 and step.task < 1e3 for step in steps) and len(steps) == 2
