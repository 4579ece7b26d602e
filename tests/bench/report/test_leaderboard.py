from __future__ import annotations

import dataclasses

import mocks
import pytest

from bench import records
from bench.errors import BenchError
from bench.plan import make_plan
from bench.report import leaderboard, write_leaderboard
from bench.report.words import NONE


@pytest.fixture
def plan(mock_suite):
    return make_plan(str(mock_suite), ["lora", "cola"], ["ave", "avs"], [0, 1], [])


@pytest.fixture
def measured(plan):
    """Two seeds of two methods on two tasks: LoRA scores 70 and 72, CoLA 80 and 81."""
    return [mocks.record(spec, (70.0 + 2 * spec.seed) if spec.method == "lora" else 80.0 + spec.seed) for spec in plan]


def tables(text):
    """The tables of a Markdown text, by heading: rows of cells by their first cell."""
    found, rows = {}, {}
    for line in text.splitlines():
        if line.startswith("#"):
            rows = found[line] = {}
        elif line.startswith("|"):
            first, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
            rows[first] = cells
    return found


def test_a_table_a_task_and_one_over_all(measured):
    found = tables(leaderboard(measured))
    title = "suite mock, generated data v3 (seed 7), not the benchmark's own"
    assert [heading for heading, rows in found.items() if rows] == [
        f"### ave: {title}",
        f"### avs: {title}",
        f"### All tasks: {title}",
    ]
    ave = found[f"### ave: {title}"]
    assert ave["method"][:4] == ["accuracy", "seeds", "gain", "gain %"]
    assert ave["cola"] == (
        [
            "80.50 ± 0.71",
            "2",
            "+9.50",
            "+13.4",
            "16,000",
            "16,000",
            "2,500",
            "2.00",
            "812",
            "640",
            "151.2",
            "420.0",
            "1.25x",
            "40.25 ± 0.35",
        ]
    )
    assert ave["floor: sound alone"][0] == "41.50"
    assert list(ave)[2:] == ["cola", "lora", "floor: sound alone", "floor: constant answer"]
    overall = found[f"### All tasks: {title}"]
    assert overall["cola"] == ["80.50 ± 0.71", "80.50 ± 0.71", "80.50", "+9.50", "+13.4"]


def test_one_seed_has_no_deviation(measured):
    text = leaderboard([record for record in measured if record.spec["seed"] == 0])
    assert f"| 80.00 ± {NONE} |" in text


def test_a_method_without_all_tasks_has_no_mean(measured):
    found = tables(leaderboard([r for r in measured if (r.spec["method"], r.spec["task"]) != ("cola", "avs")]))
    overall = next(rows for heading, rows in found.items() if "All tasks" in heading)
    assert overall["cola"] == ["80.50 ± 0.71", NONE, NONE, NONE, NONE]
    assert overall["lora"][2] == "71.00"


def test_failed_runs_are_counted_and_listed(measured, plan):
    text = leaderboard([*measured[:-1], mocks.failed(plan[-1], "out of\nmemory | <b>")])
    assert "8 runs, 1 of them failed." in text
    assert "- 1 failed: avs cola seed 1: out of memory \\| &lt;b&gt;" in text


def test_only_failed_runs(plan):
    text = leaderboard([mocks.failed(spec) for spec in plan])
    assert "8 runs, 8 of them failed." in text


def test_names_cannot_break_the_page(plan):
    spec = dataclasses.replace(plan[0], method="a|b<script>", suite="<i>mine</i>")
    text = leaderboard([mocks.record(spec)])
    assert "a\\|b&lt;script&gt;" in text
    assert "&lt;i&gt;mine&lt;/i&gt;" in text
    assert "<script>" not in text


def test_what_does_not_compare_is_said(measured):
    first, *others = measured
    other = dataclasses.replace(
        first,
        data=dataclasses.replace(first.data, fingerprint="other"),
        environment=dataclasses.replace(mocks.ENVIRONMENT, device="NVIDIA H100"),
    )
    text = leaderboard([other, *others])
    assert "NVIDIA H100 (2 threads); cpu (2 threads): memory and speed do not compare between these" in text
    assert "The data was not the same in all runs: 2 fingerprints." in text


def test_official_data_is_called_so(mock_suite):
    plan = make_plan(str(mock_suite), ["lora"], ["ave"], [0], ["data.source=official"])
    assert "### ave: suite mock, official data\n" in leaderboard([mocks.record(spec) for spec in plan])


def test_it_is_written_from_the_records_of_a_folder(measured, tmp_path):
    for record in measured:
        records.write(record, tmp_path)
    path = write_leaderboard(tmp_path)
    assert path == tmp_path / "leaderboard.md"
    assert "8 runs, none of them failed." in path.read_text(encoding="utf-8")


def test_without_records_nothing_is_written(tmp_path):
    with pytest.raises(BenchError, match=r"there are no records in .*: `bench run` makes them"):
        write_leaderboard(tmp_path)
    assert list(tmp_path.iterdir()) == []
