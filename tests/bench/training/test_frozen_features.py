"""Features of frozen streams, computed once."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from accelerate import Accelerator
from alike import alike

from bench.config.plan import RunRequest, make_plan
from bench.execution.single_run import execute
from bench.tasks.ave import AVE
from bench.tasks.base import Task
from bench.training import frozen_features as module
from bench.training.frozen_features import Views, features
from bench.training.setup import set_up


def spec(task: str = "ave", *overrides: str):
    usual = [f"{task}.epochs=2", "head.head_factor=4", f"{task}.views=none"]
    return make_plan(RunRequest("mini", ["head"], [task], ["0"], [*usual, *overrides]))[0]


@pytest.mark.parametrize("task", ["ave", "refcoco"])
def test_the_head_gives_the_same_for_features_as_for_samples(options, task):
    setup = set_up(spec(task), options)
    samples = setup.data.datasets["val"]
    computed = features(setup.model, samples, 2, Accelerator(cpu=True))
    assert len(computed) == len(samples)
    plain, inputs_read = (next(iter(module.load(dataset, 2))) for dataset in (samples, computed))
    assert "vision" not in inputs_read and plain.keys() - inputs_read.keys() == set(setup.model.streams.streams)
    with torch.no_grad():
        expected, actual = setup.model.eval()(plain), setup.model(inputs_read)
    torch.testing.assert_close(actual, expected)


def test_records_are_the_same_with_features_and_without(options, monkeypatch):
    """AVE augments, so its training samples are run through the streams; without augmentation they are not either."""
    calls = []
    real = module.features
    monkeypatch.setattr(
        "bench.training.frozen_features.features",
        lambda model, samples, *more: calls.append(len(samples)) or real(model, samples, *more),
    )
    with_features = execute(spec(), options)
    assert len(calls) == 1
    monkeypatch.setattr("bench.training.frozen_features.features", lambda model, samples, *more: samples)
    assert asdict(execute(spec(), options).scores) == alike(with_features.scores)

    calls.clear()
    monkeypatch.setattr(
        "bench.training.frozen_features.features",
        lambda model, samples, *more: calls.append(len(samples)) or real(model, samples, *more),
    )
    monkeypatch.setattr(AVE, "augment", Task.augment)
    unchanged = execute(spec(), options)
    assert len(calls) == 2
    monkeypatch.setattr("bench.training.frozen_features.features", lambda model, samples, *more: samples)
    plain = execute(spec(), options)
    losses = [[entry.train_loss for entry in record.scores.validation] for record in (unchanged, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4), "batches of other sizes round otherwise"


def test_features_that_are_too_large_are_not_kept(options, monkeypatch):
    setup = set_up(spec(), options)
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    samples = setup.data.datasets["val"]
    assert features(setup.model, samples, 2, Accelerator(cpu=True)) is samples


def test_views_are_what_the_streams_make_of_augmented_samples(options):
    setup = set_up(spec(), options)
    samples = setup.data.datasets["val"]

    def chance(draws=torch.Generator):
        drawn = draws().manual_seed(3)
        return lambda batch: setup.task.augment(batch, drawn)

    computed = features(setup.model, samples, 2, Accelerator(cpu=True), 3, chance())
    augment = chance()
    plain = next(iter(module.load(samples, 2)))
    views = [setup.model.states(augment(plain)) for _ in range(3)]
    actual = computed.__getitems__([0, 1])
    for name, values in views[2].items():
        torch.testing.assert_close(actual[name][:, 2], values)
    assert actual["label"].shape == (2, 3, 10)
    assert not torch.allclose(*(actual["state of vision"][:, view] for view in (0, 1)))


def test_a_view_is_drawn_for_each_sample_by_itself():
    views = Views({"a": torch.arange(40).view(8, 5), "b": torch.arange(40).view(8, 5, 1) + 100})
    (batch,) = module.load(views.samples(), 8)
    drawn = views(batch, torch.Generator().manual_seed(0))
    assert (drawn["a"] // 5).tolist() == list(range(8)) and len(set((drawn["a"] % 5).tolist())) > 1
    assert torch.equal(drawn["b"][:, 0], drawn["a"] + 100)
    some = views({name: values[[5, 2]] for name, values in batch.items()}, torch.Generator().manual_seed(1))
    assert (some["a"] // 5).tolist() == [5, 2] and torch.equal(some["b"][:, 0], some["a"] + 100)


def test_with_views_the_streams_see_each_training_sample_that_often_only(options, monkeypatch):
    setup = set_up(spec("ave", "ave.views=2"), options)
    counts = {"seen": 0}
    real = module._with_states

    def counted(model, plain, accelerator, steps):
        counts["seen"] += len(plain["label"])
        return real(model, plain, accelerator, steps)

    monkeypatch.setattr(module, "_with_states", counted)
    record = execute(spec("ave", "ave.views=2"), options)
    assert record.status == "ok" and len(record.scores.validation) == 8  # two epochs, times the head's factor
    assert counts["seen"] == 2 * setup.data.counts["train"] + setup.data.counts["val"]
    second = execute(spec("ave", "ave.views=2"), options)
    assert asdict(second.scores) == alike(record.scores)
