"""A run that fails is a result: it says why, the others go on, and it can be done again."""

from __future__ import annotations

from types import SimpleNamespace

import mocks
import pytest
import torch

from bench import cli, records, runner
from bench.train import STEP, DivergedError


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
            setattr(error, STEP, 20)
            raise error
        if spec.seed == 2:
            raise ZeroDivisionError("a mistake in the code")
        return SimpleNamespace(spec=spec, accelerator=SimpleNamespace(is_main_process=False))

    def measure(spec, *_):
        made = mocks.record(spec)
        parts = ("scores", "parameters", "memory", "throughput", "times", "data")
        return {part: getattr(made, part) for part in parts}, {}

    monkeypatch.setattr(runner, "set_up", set_up)
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(runner, "_checkpoint", lambda *_: None)
    return begun


def test_the_others_go_on_and_those_that_failed_are_done_again(troubled, mock_suite, tmp_path, capsys):
    asked = ["run", "--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave", "--seeds", "0,1,2,3,4"]
    asked += ["--results", str(tmp_path), "--device", "cpu"]
    assert cli.main(asked) == 1
    found = {record.spec["seed"]: record for record in records.read_all(tmp_path)}
    assert [found[seed].status for seed in range(5)] == ["failed"] * 3 + ["ok"] * 2
    assert found[0].reason.startswith("out of memory: CUDA out of memory") and "micro_batch" in found[0].reason
    assert (found[1].reason, found[1].step) == ("the loss is nan at step 7: lower the learning rate", 20)
    assert found[2].reason == "ZeroDivisionError: a mistake in the code" and "set_up" in found[2].traceback
    told = capsys.readouterr().err
    assert "3 of 5 runs failed" in told and "--retry-failed" in told

    troubled.clear()
    assert cli.main(asked) == 1 and troubled == [], "the same command skips them"
    assert cli.main([*asked, "--retry-failed"]) == 1 and troubled == [0, 1, 2]
