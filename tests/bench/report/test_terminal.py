from __future__ import annotations

import dataclasses

import mocks

from bench.config.plan import RunRequest, make_plan
from bench.report.formatting import NONE
from bench.report.terminal import run_table


def test_a_line_a_run_with_floors_and_failures(mock_suite):
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"]))
    lines = run_table([mocks.record(plan[0], 70.125), mocks.failed(plan[1])]).splitlines()
    assert lines[0] == "suite mock, generated data v3 (world 7), not the benchmark's own"
    assert [line.split() for line in lines[2:]] == [
        ["task", "method", "seed", "status", "metric", "score", "adapter", "head", "%", "train", "/s", "MB", "s"],
        lines[3].split(),
        ["ave", "lora", "0", "ok", "accuracy", "70.12", "16,000", "2,500", "2.00", "151.2", "812", "55.5"],
        ["ave", "cola", "0", "failed", *[NONE] * 8],
        ["ave", "floor:", "sound", "alone", "accuracy", "41.50"],
        ["ave", "floor:", "constant", "answer", "accuracy", "30.00"],
        [],
        ["ave", "cola", "seed", "0", "failed:", "the", "loss", "is", "not", "finite", "at", "step", "3"],
    ]
    assert max(map(len, lines)) <= 120


def test_masked_parameters_are_told(mock_suite):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    record = mocks.record(spec)
    masked = dataclasses.replace(record, parameters=dataclasses.replace(record.parameters, active=12_000))
    assert "16,000 (12,000)" in run_table([masked])
