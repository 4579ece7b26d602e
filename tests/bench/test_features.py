"""Features of frozen streams, computed once."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from bench import features as module
from bench.features import features
from bench.plan import make_plan
from bench.runner import execute
from bench.setup import set_up
from bench.tasks.ave import AVE
from bench.tasks.base import Task


def spec(task: str = "ave", *overrides: str):
    return make_plan("mini", ["head"], [task], ["0"], [f"{task}.epochs=2", *overrides])[0]


@pytest.mark.parametrize("task", ["ave", "refcoco"])
def test_the_head_gives_the_same_for_features_as_for_samples(options, task):
    setup = set_up(spec(task), options)
    samples = setup.data.datasets["val"]
    computed = features(setup.model, samples, 2, Accelerator(cpu=True))
    assert len(computed) == len(samples)
    plain, given = (next(iter(module.load(dataset, 2))) for dataset in (samples, computed))
    assert "vision" not in given and plain.keys() - given.keys() == set(setup.model.streams.streams)
    with torch.no_grad():
        expected, found = setup.model.eval()(plain), setup.model(given)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_records_are_the_same_with_features_and_without(options, monkeypatch):
    """AVE augments, so its training samples are run through the streams; without augmentation they are not either."""
    asked = []
    real = module.features
    monkeypatch.setattr(
        "bench.train.features", lambda model, samples, *more: asked.append(len(samples)) or real(model, samples, *more)
    )
    with_features = execute(spec(), options)
    assert len(asked) == 1
    monkeypatch.setattr("bench.train.features", lambda model, samples, *more: samples)
    assert execute(spec(), options).scores == with_features.scores

    asked.clear()
    monkeypatch.setattr(
        "bench.train.features", lambda model, samples, *more: asked.append(len(samples)) or real(model, samples, *more)
    )
    monkeypatch.setattr(AVE, "augment", Task.augment)
    same = execute(spec(), options)
    assert len(asked) == 2
    monkeypatch.setattr("bench.train.features", lambda model, samples, *more: samples)
    plain = execute(spec(), options)
    losses = [[entry.train_loss for entry in record.scores.validation] for record in (same, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4), "batches of other sizes round otherwise"


def test_features_that_are_too_large_are_not_kept(options, monkeypatch):
    setup = set_up(spec(), options)
    monkeypatch.setattr(module, "MOST", 1000)
    samples = setup.data.datasets["val"]
    assert features(setup.model, samples, 2, Accelerator(cpu=True)) is samples
