from __future__ import annotations

import mocks
import numpy as np
import pytest

from bench.cli import main
from bench.config.plan import RunRequest, make_plan
from bench.records import store
from bench.report import stats
from bench.report.power import SEEDS, powers
from bench.report.standings import compute_standings


@pytest.fixture
def measured(mock_suite):
    """LoRA scores 70 with every seed, CoLA 5 more on average, with a standard deviation of 2."""
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], range(4)))
    gains = 5 + 2 * np.array([-1.5, -0.5, 0.5, 1.5]) / np.std([-1.5, -0.5, 0.5, 1.5], ddof=1)
    return [mocks.record(spec, 70.0 if spec.method == "lora" else 70.0 + gains[spec.seed]) for spec in plan]


def test_needed_seeds_follow_from_the_deviation_of_the_differences(measured):
    (power,) = powers(compute_standings(measured), gain=2.0)
    assert (power.task, power.method, power.seeds) == ("ave", "cola", 4)
    assert power.deviation == pytest.approx(2.0)
    assert power.needed == stats.seeds_needed(2.0, 2.0) == 10
    low, high = power.needed_between
    assert low < power.needed < high
    assert power.smallest == {seeds: pytest.approx(stats.smallest_gain(2.0, seeds)) for seeds in SEEDS}


def test_more_comparisons_need_more_seeds(measured):
    needed = [next(iter(powers(compute_standings(measured), 2.0, comparisons=count))).needed for count in (1, 4)]
    assert needed == [10, stats.seeds_needed(2.0, 2.0, alpha=0.05 / 4)]
    assert needed[1] > needed[0]


def test_the_command_prints_them(measured, tmp_path, capsys):
    for record in measured:
        store.write(record, tmp_path)
    assert main(["power", "--results", str(tmp_path), "--gain", "2"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ave"))
    assert line.split()[:5] == ["ave", "cola", "4", "2.00", "10"]


def test_one_seed_has_no_variance(measured, tmp_path, capsys):
    store.write(measured[0], tmp_path)
    assert main(["power", "--results", str(tmp_path)]) == 1
    assert "this needs at least two seeds of lora and another method" in capsys.readouterr().err


def test_all_invalid_options_are_reported(tmp_path, capsys):
    assert main(["power", "--results", str(tmp_path), "--gain", "0", "--power", "1", "--comparisons", "0"]) == 2
    error = capsys.readouterr().err
    assert all(option in error for option in ("--gain", "--power", "--comparisons"))


def test_several_worlds_are_told_apart(mock_suite):
    """Otherwise their rows differ in nothing but the numbers."""
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], range(3), worlds=(0, 4)))
    rows = powers(compute_standings([mocks.record(spec, 70.0 + spec.seed) for spec in plan]), 2.0)
    assert sorted(row.task for row in rows) == ["ave world 0", "ave world 4"]
