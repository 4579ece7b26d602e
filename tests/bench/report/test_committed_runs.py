"""docs/how-to/add-to-committed-runs.md: a new method gets its row beside the committed records."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

import bench
from bench import registry
from bench.methods.base import Method
from bench.records import provenance
from bench.report.grouping import sections
from bench.report.standings import compute_standings
from bench.report.write import write_leaderboard

MINI = Path(__file__).parents[3] / "results" / "mini"


@dataclass
class Shift(Method):
    """A method whose runs are those of LoRA with a higher score."""

    points: float = 6.0

    def attach(self, model):
        raise NotImplementedError


@pytest.fixture
def extended(tmp_path, monkeypatch):
    """A copy of the committed records, and the labels of the runs done: they measure LoRA's score plus some points."""
    folder = tmp_path / "extended"
    (folder / "records").mkdir(parents=True)
    for task in ("ave", "avs", "refcoco"):
        for path in (MINI / "records").glob(f"{task}-*"):
            shutil.copy(path, folder / "records")
    (usual, *_) = sections(bench.load_records(folder))
    lora = {
        (record.spec.task, record.spec.seed): record
        for table in usual.tables
        for row in table.rows
        if row.label == "lora"
        for record in row.records
    }
    executed = []

    def execute(spec, options):
        executed.append(spec.label)
        reference = lora[spec.task, spec.seed]
        scores = reference.scores
        test = {scores.metric: reference.test_score + spec.settings["points"] + spec.seed / 10}
        code = provenance.provenance_of(spec)
        return dataclasses.replace(
            reference, id=spec.id, spec=spec, scores=dataclasses.replace(scores, test=test), provenance=code, tuned=None
        )

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    monkeypatch.setitem(registry._added, "methods", {})
    return folder, executed


def test_a_new_method_gets_its_row_with_verdicts_and_no_other_run_is_done(extended):
    folder, executed = extended
    before = {path.name: path.read_bytes() for path in (folder / "records").iterdir()}
    bench.run(Shift, ["ave", "avs"], seeds=range(5), results=folder)
    assert executed == [f"{task} shift seed {seed}" for task in ("ave", "avs") for seed in range(5)]
    after = {path.name: path.read_bytes() for path in (folder / "records").iterdir()}
    assert len(after) == len(before) + 10 and before.items() <= after.items(), "no committed record is lost or changed"

    records = bench.load_records(folder)
    tables = {task.table.task: task for task in compute_standings(records)[0].tasks}
    for task in ("ave", "avs"):
        rows = {standing.row.label: standing for standing in tables[task].standings}
        assert {"shift", "lora", "cola", "dora", "head", "full"} <= {*rows}, "all methods are in one table"
        assert rows["shift"].gain.points == pytest.approx(6.2) and rows["shift"].gain.seeds == 5
        assert rows["shift"].gain.verdict == "better"
    comparison = bench.compare(records, "shift", "cola", ["ave", "avs"])
    assert [entry.task for entry in comparison.tasks] == ["ave", "avs"] and all(e.gain for e in comparison.tasks)
    write_leaderboard(folder)
    assert (folder / "leaderboard.md").read_text().count("| shift ") >= 4


def test_a_method_that_gains_nothing_is_undecided(extended):
    folder, _ = extended
    bench.run(Shift, "ave", seeds=range(5), settings={"shift.points": -0.2}, results=folder)
    (entry,) = bench.compare(bench.load_records(folder), "shift", "lora", "ave").tasks
    assert entry.gain.points == pytest.approx(0) and entry.verdict == "undecided"


def test_new_grounding_runs_are_not_compared_with_those_scored_by_an_earlier_rule(extended):
    folder, _ = extended
    bench.run(Shift, "refcoco", seeds=[0, 1], results=folder)
    tables = [task.table for section in compute_standings(bench.load_records(folder)) for task in section.tasks]
    (labels,) = ({row.label for row in t.rows} for t in tables if any(row.label == "shift" for row in t.rows))
    assert labels == {"shift"}


def test_other_epochs_are_another_condition(extended):
    folder, _ = extended
    bench.run(Shift, "ave", seeds=[0, 1], settings={"ave.epochs": 1}, results=folder)
    frame = bench.to_frame(bench.load_records(folder))
    (condition,) = {*frame[frame["label"] == "shift"]["condition"]}
    assert condition.endswith("with train.epochs=1")
    assert "lora" not in {*frame[frame["condition"] == condition]["label"]}
