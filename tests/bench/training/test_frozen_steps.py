"""The first steps of the lockstep, computed once where only later blocks are trained."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from alike import alike

from bench.config.plan import RunRequest, make_plan
from bench.execution.single_run import execute
from bench.streams.frozen_steps import frozen_steps
from bench.training import frozen_features as module
from bench.training.frozen_features import Views, computed_once, features
from bench.training.setup import set_up

LAST = {
    "lora": ["lora.blocks=last"],
    "adalora": ["adalora.blocks=last"],
    "cola": ["cola.blocks=last", "cola.intra_blocks=last"],
    "cola-dora": ["cola-dora.blocks=last", "cola-dora.intra_blocks=last"],
}
FROM_THE_START = {
    "lora": [],
    "full": [],
    "cola": ["cola.intra_blocks=last"],
    "cola+peft:ia3": ["cola+peft:ia3.blocks=last"],
    "peft:ln_tuning": [],
    "lavish": [],
    "vpt": [],
}


def spec(method: str, *overrides: str, task: str = "refcoco"):
    usual = [f"{task}.epochs=2", f"{task}.head_first=1", f"{task}.views=2", "train.batch_size=2", "train.beta2=0.95"]
    return make_plan(RunRequest("mini", [method], [task], ["0"], [*usual, *overrides]))[0]


@pytest.mark.parametrize("method", LAST)
def test_steps_before_the_first_adapted_blocks_are_frozen(method, options):
    streams = set_up(spec(method, *LAST[method]), options).model.streams
    assert frozen_steps(streams) == len(streams.schedule) // 2 > 0


@pytest.mark.parametrize("method", FROM_THE_START)
def test_no_step_is_frozen_after_anything_that_is_trained(method, options):
    task = "ave" if method in ("lavish", "vpt") else "refcoco"
    assert frozen_steps(set_up(spec(method, *FROM_THE_START[method], task=task), options).model.streams) == 0


def test_what_is_trained_outside_the_blocks_or_dropped_at_random_may_act_anywhere(options):
    streams = set_up(spec("lora", *LAST["lora"]), options).model.streams
    begun = frozen_steps(streams)
    norm = next(p for name, p in streams.named_parameters() if "norm" in name and not p.requires_grad)
    norm.requires_grad_()
    assert frozen_steps(streams) == 0
    norm.requires_grad_(False)
    stream = streams.streams["text"]
    stream.encoder.add_module("noise", torch.nn.Dropout(0.1))
    assert frozen_steps(streams) == 0
    stream.encoder.noise.p = 0.0
    assert frozen_steps(streams) == begun


@pytest.mark.parametrize("task", ["ave", "refcoco"])
def test_what_is_left_gives_exactly_what_the_whole_gives(options, task):
    setup = set_up(spec("cola", *LAST["cola"], task=task), options)
    model, steps = setup.model.eval(), frozen_steps(setup.model.streams)
    with torch.no_grad():
        for parameter in model.streams.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    samples = setup.data.datasets["val"]
    computed = features(model, samples, 2, Accelerator(cpu=True), steps=steps)
    plain, begun = (next(iter(module.load(dataset, 2))) for dataset in (samples, computed))
    assert not begun.keys() & set(model.streams.streams)

    def gradients(batch):
        model.zero_grad()
        loss = setup.task.loss(model(batch), {**plain, **batch})
        loss.backward()
        return loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]

    if task == "ave":  # whose validation samples have what the loss reads
        (loss, expected), (same, actual) = gradients(plain), gradients(begun)
        assert torch.equal(loss, same) and len(expected) == len(actual)
        assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))
    with torch.no_grad():
        torch.testing.assert_close(model(begun), model(plain), rtol=0, atol=0)
        torch.testing.assert_close(model.states(begun), model.states(plain), rtol=0, atol=0)


@pytest.mark.parametrize("method", ["lora", "cola"])
def test_training_on_them_is_training_on_the_same_views(method, options, monkeypatch):
    chosen = spec(method, *LAST[method])
    runs, steps_done = [], []
    real = module._with_states

    def noted(model, plain, accelerator, steps):
        steps_done.append(steps)
        return real(model, plain, accelerator, steps)

    monkeypatch.setattr(module, "_with_states", noted)
    runs.append(execute(chosen, options))
    assert set(steps_done) == {2, None}, "for training, and whole streams for the head that is trained first"
    monkeypatch.setattr(module, "_with_states", lambda model, plain, *_: plain)
    runs.append(execute(chosen, options))
    assert [run.status for run in runs] == ["ok", "ok"], runs[0].traceback or runs[1].traceback
    losses = [[entry.train_loss for entry in run.scores.validation] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert runs[0].scores.test == alike(runs[1].scores.test)
    assert runs[0].scores.repeated == pytest.approx(0, abs=1e-9), "the plain validation split gives the same"


def test_without_views_every_pass_augments_anew_and_computes_everything(options):
    setup = set_up(spec("lora", *LAST["lora"], "refcoco.views=none"), options)
    splits, augment = computed_once(
        setup.model, setup.task, setup.recipe, setup.data.datasets, setup.task.augment, setup.accelerator, 0
    )
    assert splits is setup.data.datasets and augment == setup.task.augment


def test_views_that_are_too_large_are_not_kept(options, monkeypatch):
    setup = set_up(spec("lora", *LAST["lora"]), options)
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    splits, augment = computed_once(
        setup.model, setup.task, setup.recipe, setup.data.datasets, setup.task.augment, setup.accelerator, 0
    )
    assert splits["train"] is setup.data.datasets["train"] and not isinstance(augment, Views)
