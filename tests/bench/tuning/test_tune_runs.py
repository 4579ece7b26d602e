"""Trials as they really are: trained on a few generated videos, without a look at a test split."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from alike import alike

from bench.config.plan import RunRequest, make_plan
from bench.data import splits
from bench.execution import single_run
from bench.execution.sweep import sweep
from bench.records import store
from bench.training import setup


@pytest.fixture
def spec():
    changes = ["train.batch_size=2", "ave.epochs=1"]
    (one,) = make_plan(RunRequest("mini", ["lora"], ["ave"], [0], changes))
    return one


class Untouchable:
    """A split that nobody may read."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        raise AssertionError("the test split was read")

    __getitems__ = __getitem__


@pytest.fixture
def untouchable_test_split(monkeypatch):
    def opened(*args):
        opened_splits = splits.open_splits(*args)
        return replace(opened_splits, datasets={**opened_splits.datasets, "test": Untouchable(3)})

    monkeypatch.setattr(setup, "open_splits", opened)


def test_a_trial_reads_no_test_split(options, spec, tmp_path, untouchable_test_split):
    assert "the test split was read" in single_run.execute(spec, options).reason, "a run does"
    (record,) = sweep([spec], tmp_path, replace(options, validate_only=True))
    assert record.status == "ok", record.traceback
    assert record.scores.test == record.scores.floors == {} and record.scores.test_samples == 0
    assert record.memory is record.throughput is None and record.times.train > 0
    (path,) = (tmp_path / "records").glob("*.json")
    assert store.read(path) == record
    assert [path] == [p for p in tmp_path.rglob("*") if p.is_file()], "neither predictions nor scores of samples"


def test_a_trial_validates_as_the_run_does(options, spec):
    run, trial = single_run.execute(spec, options), single_run.execute(spec, replace(options, validate_only=True))
    assert trial.id == run.id and trial.spec == run.spec
    assert [asdict(epoch) for epoch in trial.scores.validation] == alike(run.scores.validation)
    assert trial.scores.best_epoch == run.scores.best_epoch
    assert trial.scores.splits == {"val": alike(run.scores.splits["val"])}
    assert (trial.parameters, trial.data) == (run.parameters, run.data)


def test_a_trial_that_diverges_fails(options, spec):
    diverging = replace(spec, recipe={**spec.recipe, "lr_adapter": 1e30, "warmup": 0.0, "clip": 0.0})
    record = single_run.execute(diverging, replace(options, validate_only=True))
    assert record.status == "failed" and "lower the learning rate" in record.reason
