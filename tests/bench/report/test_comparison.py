"""Two methods are compared by the numbers of the leaderboard."""

from __future__ import annotations

import dataclasses
import re
import zlib
from pathlib import Path
from statistics import fmean

import made_standings
import pytest
import scipy.stats

import bench
from bench import cli
from bench.errors import UsageError
from bench.records import store
from bench.report.comparison import compare
from bench.report.formatting import NONE
from bench.report.leaderboard import gain_cells
from bench.report.standings import compute_standings

MINI = Path(__file__).parents[3] / "results" / "mini"


def leaderboard_cells(method: str) -> dict[str, list[str]]:
    """Return gain, interval, percentage, p-value and verdict of a method in the written leaderboard's first section."""
    text = (MINI / "leaderboard.md").read_text(encoding="utf-8").split("\n## Suite ")[1]
    rows = {}
    for table in text.split("\n### ")[1:]:
        lines = ([cell.strip() for cell in line.split("|")] for line in table.splitlines())
        row = next((line for line in lines if line[1:2] == [method]), None)  # the scores come before the costs
        if row:
            rows[table.partition(":")[0]] = [row[column] for column in (6, 7, 8, 9, 10)]
    return rows


def test_gains_and_verdicts_are_those_of_the_written_leaderboard():
    comparison = bench.compare(bench.load_records(MINI), "cola", "lora")
    usual = [entry for entry in comparison.tasks if "train.epochs" not in entry.condition]
    cells = {entry.task: gain_cells(entry.gain) for entry in usual}
    assert len(cells) == 6
    assert cells == leaderboard_cells("cola")
    assert all(entry.gain.with_samples for entry in usual), "the scores beside the records are used"


def test_the_mean_over_tasks_is_that_of_the_written_finding():
    tasks = ("ave", "avs", "refcoco", "refcoco_plus", "refcocog")
    (mean,) = bench.compare(bench.load_records(MINI), "cola", "lora", tasks).over_tasks
    assert mean.task == "mean of 5 tasks" and mean.verdict == "better"
    finding = " ".join((MINI / "finding.md").read_text(encoding="utf-8").split())
    number = r"([+-]?\d+\.\d)"
    answer = re.search(rf"it scores {number} points more \({number} to {number}, {number}%; significant\)", finding)
    gain = mean.gain
    shown = (f"{gain.points:.1f}", *(f"{n:+.1f}" for n in (gain.interval.low, gain.interval.high, gain.percent)))
    assert answer.groups() == shown


def uneven(method: str, task: str, seed: int):
    """Return a record whose score varies with task and seed, in another way for each method."""
    record = made_standings.record(made_standings.spec(method, task, seed))
    score = record.test_score + zlib.crc32(f"{method} {task} {seed}".encode()) % 100 / 50
    return dataclasses.replace(record, scores=dataclasses.replace(record.scores, test={record.scores.metric: score}))


@pytest.fixture
def records():
    return [uneven(m, task, seed) for m in ("cola", "lora", "head") for task in ("ave", "avs") for seed in range(4)]


def test_any_method_can_be_the_second_one_and_need_not_be_registered(records):
    comparison = compare(records, "lora", "head", "ave")
    (standings,) = compute_standings(records, reference="head")
    expected = {s.row.label: s for s in standings.tasks[0].standings}
    (entry,) = comparison.tasks
    assert entry.gain == expected["lora"].gain
    assert (entry.mean_a, entry.mean_b) == (expected["lora"].mean, expected["head"].mean)
    assert comparison.over_tasks == []
    unknown = [dataclasses.replace(r, spec=dataclasses.replace(r.spec, method=f"my-{r.spec.method}")) for r in records]
    assert compare(unknown, "my-lora", "my-head", ["ave"]).tasks[0].gain == entry.gain


def test_the_mean_over_tasks_is_tested_over_the_seeds_of_all_tasks(records):
    fewer = [record for record in records if (record.spec.task, record.spec.seed) != ("avs", 0)]
    (mean,) = compare(fewer, "cola", "lora").over_tasks
    scores = {(r.spec.method, r.spec.task, r.spec.seed): r.test_score for r in fewer}
    a, b = ([fmean(scores[m, task, seed] for task in ("ave", "avs")) for seed in (1, 2, 3)] for m in ("cola", "lora"))
    test = scipy.stats.ttest_rel(a, b)
    assert mean.gain.seeds == 3 and mean.gain.points == pytest.approx(fmean(a) - fmean(b))
    assert mean.gain.p == pytest.approx(test.pvalue)
    assert dataclasses.astuple(mean.gain.interval) == pytest.approx(tuple(test.confidence_interval()))
    (clearer,) = compare(fewer, "head", "lora").over_tasks
    assert clearer.gain.p_holm == pytest.approx(2 * clearer.gain.p), "corrected for two comparisons"


def test_a_task_without_one_of_the_methods_has_no_comparison(records):
    fewer = [record for record in records if (record.spec.method, record.spec.task) != ("cola", "avs")]
    comparison = compare(fewer, "cola", "lora")
    assert [entry.task for entry in comparison.tasks] == ["ave"] and comparison.over_tasks == []


def test_without_a_common_seed_nothing_is_decided(records):
    apart = [record for record in records if (record.spec.method == "cola") == (record.spec.seed < 2)]
    comparison = compare(apart, "cola", "lora")
    assert all(entry.gain is None and entry.verdict == "undecided" for entry in comparison.tasks)
    assert NONE in str(comparison)


@pytest.mark.parametrize(
    ("a", "b", "tasks", "message"),
    [
        ("colaa", "lora", None, "no row has the label colaa: did you mean cola"),
        ("cola", "dora", None, "no row has the label dora: .*known: cola, head, lora"),
        ("cola", "cola", None, "cola cannot be compared with itself"),
        ("cola", "lora", "avss", "there are no records of the task avss: did you mean avs"),
        ("cola", "lora", ("ave", "refcoco"), "no records of the task refcoco"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(records, a, b, tasks, message):
    with pytest.raises(UsageError, match=message):
        compare(records, a, b, tasks)


def test_methods_of_different_tasks_are_refused_with_where_they_are(records):
    apart = [record for record in records if (record.spec.method == "cola") == (record.spec.task == "ave")]
    with pytest.raises(UsageError, match=r"share no task and condition: cola is on ave \(suite .*; lora is on avs \("):
        compare(apart, "cola", "lora")


def test_the_command_prints_the_comparison(records, tmp_path, capsys):
    for record in records:
        store.write(record, tmp_path)
    assert cli.main(["compare", "cola", "lora", "--results", str(tmp_path), "--tasks", "ave"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == str(compare(bench.load_records(tmp_path), "cola", "lora", "ave")).strip()
    (row,) = (line for line in printed.splitlines() if line.startswith("ave"))
    assert "accuracy" in row and f"{compare(records, 'cola', 'lora', 'ave').tasks[0].gain.points:+.2f}" in row
    assert cli.main(["compare", "cola", "dora", "--results", str(tmp_path)]) == 2
    assert "no row has the label dora" in capsys.readouterr().err
