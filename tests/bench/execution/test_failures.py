"""A run that fails is a result: it says why, the others go on, and it can be done again."""

from __future__ import annotations

import gc
import math
import signal
import weakref
from dataclasses import replace
from types import SimpleNamespace

import mocks
import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.execution import single_run
from bench.execution.sweep import sweep
from bench.records import store
from bench.training import trainer
from bench.training.trainer import STEPS_DONE, DivergedError


@pytest.fixture
def troubled(monkeypatch):
    """Runs of which seed 0 is out of memory, seed 1 diverges and seed 2 has a mistake; a list of seeds that began."""
    begun = []

    def set_up(spec, options):
        begun.append(spec.seed)
        if spec.seed == 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if spec.seed == 1:
            error = DivergedError("the loss is nan at step 7: lower the learning rate")
            setattr(error, STEPS_DONE, 20)
            raise error
        if spec.seed == 2:
            raise ZeroDivisionError("a mistake in the code")
        return SimpleNamespace(spec=spec, accelerator=SimpleNamespace(is_main_process=False))

    def measure(spec, *_):
        record = mocks.record(spec)
        parts = ("scores", "parameters", "memory", "throughput", "times", "data")
        return {part: getattr(record, part) for part in parts}, {}

    monkeypatch.setattr(single_run, "set_up", set_up)
    monkeypatch.setattr(single_run, "measure", measure)
    monkeypatch.setattr(single_run, "_checkpoint", lambda *_: None)
    return begun


def test_other_runs_continue_and_failed_ones_are_repeated(troubled, mock_suite, tmp_path, capsys):
    command = ["run", "--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave", "--seeds", "0,1,2,3,4"]
    command += ["--results", str(tmp_path), "--device", "cpu"]
    assert cli.main(command) == 1
    records = {record.spec.seed: record for record in store.read_all(tmp_path)}
    assert [records[seed].status for seed in range(5)] == ["failed"] * 3 + ["ok"] * 2
    assert records[0].reason.startswith("out of memory: CUDA out of memory") and "micro_batch" in records[0].reason
    assert (records[1].reason, records[1].step) == ("the loss is nan at step 7: lower the learning rate", 20)
    assert records[2].reason == "ZeroDivisionError: a mistake in the code" and "set_up" in records[2].traceback
    message = capsys.readouterr().err
    assert "3 of 5 runs failed" in message and "--retry-failed" in message

    troubled.clear()
    assert cli.main(command) == 1 and troubled == [], "the same command skips them"
    assert cli.main([*command, "--retry-failed"]) == 1 and troubled == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_end_of_a_run_does_not_lose_it(troubled, mock_suite, tmp_path, monkeypatch, number):
    monkeypatch.setattr(single_run.Tracking, "end", lambda *_: signal.raise_signal(number))
    command = ["run", "--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave", "--seeds", "3,4"]
    assert cli.main([*command, "--results", str(tmp_path), "--device", "cpu"]) == 1
    assert [(record.spec.seed, record.status) for record in store.read_all(tmp_path)] == [(3, "ok")]
    assert troubled == [3]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (math.nan, "nan, not a finite number"),
        (math.inf, "inf, not a finite number"),
        (-1e99, "-1e+99, and no score is beyond a million"),
    ],
)
@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_run_with_an_impossible_score_has_failed(troubled, monkeypatch, tmp_path, number, message, split):
    """Not the epoch's and not the method's primary score is anything to compare then."""
    (spec,) = make_plan(RunRequest("mini", ["lora"], ["ave"], [3]))
    scores = mocks.record(spec).scores
    if split == "test":
        scores = replace(scores, test={scores.metric: number})
    else:
        scores = replace(scores, validation=[replace(scores.validation[0], scores={scores.metric: number})])
    monkeypatch.setattr(single_run, "measure", lambda *_: ({"scores": scores}, {}))
    record = single_run.execute(spec, RunOptions(results=tmp_path, device="cpu"))
    assert (record.status, record.scores) == ("failed", None)
    assert record.reason == f"the {scores.metric} of the {split} split is {message}"


@pytest.mark.parametrize(("method", "failing"), [("lora", "take_step"), ("cola", "score")])
def test_nothing_of_a_run_out_of_memory_is_left_when_the_next_begins(options, tmp_path, monkeypatch, method, failing):
    """Not its model, not a tensor of the step, not the optimizer; the record holds the traceback as text only."""
    held: list[weakref.ref] = []
    left: list[int] = []
    set_up, original = single_run.set_up, getattr(trainer, failing)

    def noted(spec, options):
        left.append(sum(reference() is not None for reference in held))
        setup = set_up(spec, options)
        held.extend(map(weakref.ref, (setup.model, *setup.model.parameters(), setup.method, setup.accelerator)))
        return setup

    def full(*arguments, **named):
        result = original(*arguments, **named)
        activations = torch.ones(1000, requires_grad=True).exp()
        activations.owner = lambda: activations  # what is found by the collector only, as models with hooks are
        held.append(weakref.ref(activations))
        held.extend(weakref.ref(argument) for argument in arguments if isinstance(argument, AcceleratedOptimizer))
        raise torch.OutOfMemoryError(f"CUDA out of memory, after {type(result).__name__}")

    monkeypatch.setattr(single_run, "set_up", noted)
    monkeypatch.setattr(trainer, failing, full)
    plan = make_plan(RunRequest("mini", [method], ["ave"], [0, 1], ["train.batch_size=2", "ave.epochs=1"]))
    gc.collect()
    gc.disable()
    try:
        records = list(sweep(plan, tmp_path, options))
    finally:
        gc.enable()
    assert [record.status for record in records] == ["failed"] * 2
    assert all(record.reason.startswith("out of memory") and failing in record.traceback for record in records)
    assert left == [0, 0] and len(held) > 2 * 10
