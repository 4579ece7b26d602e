"""`python -m perf --runs`: how several runs become one report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.measurement.speed import Ratio
from bench.measurement.spread import Spread

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2])  # `perf` is not installed
    from perf import __main__ as perf
    from perf.goals import Goal, Run, goal_rows, median_run

CPU = torch.device("cpu")


def run(step: float, *goals: Goal) -> Run:
    ratio = Ratio(Spread(step, step - 0.1, step + 0.2), seconds=1.0)
    return Run("mini", (Goal("step", ratio, 1.12, floor=step - 0.3), *goals), f"tables of {step}")


def test_one_run_has_its_quartiles():
    rows = goal_rows([run(1.5, Goal("seconds", 3.14159, 5, digits=1), Goal("main job", None, 75, digits=0))])
    assert rows == [
        ("step", "1.50 (1.40-1.70)", "1.12", "1.20"),
        ("seconds", "3.1", "5", ""),
        ("main job", "not measured: --run", "75", ""),
    ]


def test_several_runs_have_their_median_and_range():
    runs = [run(step, Goal("seconds", seconds, digits=0)) for step, seconds in ((1.5, 90), (1.2, 60), (1.3, 70))]
    assert goal_rows(runs) == [("step", "1.30 (1.20-1.50)", "1.12", "1.00"), ("seconds", "70 (60-90)", "", "")]


def test_equal_values_have_no_range():
    assert goal_rows([run(1.5, Goal("memory", value)) for value in (1.301, 1.299)])[1][1] == "1.30"


def test_runs_with_different_rows_are_not_mixed():
    with pytest.raises(ValueError, match="different rows"):
        goal_rows([run(1.5, Goal("seconds", 1.0)), run(1.5, Goal("bytes", 1.0))])


@pytest.mark.parametrize(
    ("steps", "median"), [((1.5,), 1.5), ((1.5, 1.2, 1.3), 1.3), ((1.5, 1.2), 1.2)], ids=["one", "three", "two"]
)
def test_the_tables_are_those_of_the_median_run(steps, median):
    assert median_run([run(step) for step in steps]).tables == f"tables of {median}"


@pytest.mark.parametrize(
    ("arguments", "count"),
    [([], 1), (["--write"], 3), (["--write", "--runs", "2"], 2)],
    ids=["printed", "written", "as many as are said"],
)
def test_what_is_written_is_measured_three_times(arguments, count, monkeypatch, tmp_path, capsys):
    """And what stands above the mark stays."""
    calls = []
    readme = tmp_path / "README.md"
    readme.write_text(f"text\n\n{perf.MARK}\n\nolder tables\n")

    def measured_runs(count, device, rounds, main_job):
        calls.append((count, rounds, main_job))
        return [run(1.5 + number) for number in range(count)]

    monkeypatch.setattr(perf, "README", readme)
    monkeypatch.setattr(perf, "measured_runs", measured_runs)
    perf.main(["--device", "cpu", "--rounds", "2", *arguments])
    assert calls == [(count, 2, False)]
    printed = capsys.readouterr().out
    assert ("of 3 runs" in printed) == (count == 3) and "| step " in printed and "tables of" in printed
    text = readme.read_text()
    assert text.startswith(f"text\n\n{perf.MARK}\n\n") and ("older tables" in text) != ("--write" in arguments)


@pytest.mark.parametrize("value", ["0", "-1", "two"])
@pytest.mark.parametrize("option", ["--runs", "--rounds"])
def test_there_is_at_least_one(option, value, capsys):
    with pytest.raises(SystemExit) as stopped:
        perf.main([option, value])
    assert stopped.value.code == 2
    assert f"argument {option}: a whole number of at least 1 is expected, not {value}" in capsys.readouterr().err
