"""Runs that saw other data than others."""

from __future__ import annotations

import dataclasses

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.records.schema import DataInfo
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.multi_task import multi_task_tables
from bench.report.power import powers
from bench.report.standings import compute_standings
from bench.report.terminal import run_table

WHOLE = {"train": "a" * 64, "val": "b" * 64, "test": "c" * 64}
COUNTS = {"train": 50, "val": 10, "test": 200}
FINGERPRINT = "f" * 64


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1, 2]))


def data(fingerprint=FINGERPRINT, counts=None, splits=None, skipped=0):
    return DataInfo("official", fingerprint, {**COUNTS, **(counts or {})}, skipped, splits)


def records_of(plan, info, *of_one, seed=1, method="cola"):
    """Records of a plan; the run of one method with one seed saw other data than the others."""
    one = [spec for spec in plan if (spec.seed, spec.method) == (seed, method)]
    assert len(one) == len(of_one) == 1
    return [mocks.record(spec, 70.0 + spec.seed, data=of_one[0] if spec in one else info) for spec in plan]


def tables(records):
    return {task.table.changed: task for section in compute_standings(records) for task in section.tasks}


VARIATIONS = {  # what one run saw otherwise than the others, and how its table says so
    "fingerprint": (data("e" * 64, splits=WHOLE), "data.fingerprint=eeeeeeee"),
    "fingerprint of older records": (data("e" * 64), "data.fingerprint=eeeeeeee"),
    "one test sample fewer": (
        data(counts={"test": 199}, splits={**WHOLE, "test": "d" * 64}, skipped=1),
        "data.skipped=1",
    ),
    "one test sample fewer, older": (data(counts={"test": 199}, skipped=1), "data.skipped=1"),
    "one test sample fewer of others": (data(counts={"test": 199}), "data.test=199 samples"),
    "a broken file": (data("e" * 64, counts={"test": 199}, skipped=1), "data.fingerprint=eeeeeeee, data.skipped=1"),
    "edited annotations": (data(splits={**WHOLE, "test": "d" * 64}), "data.test=200 samples dddddddd"),
    "edited training": (data(splits={**WHOLE, "train": "d" * 64}), "data.train=50 samples dddddddd"),
}


@pytest.mark.parametrize("variation", VARIATIONS)
def test_runs_that_saw_other_data_are_compared_with_none_that_did_not(plan, variation):
    info, changed = VARIATIONS[variation]
    usual = data(splits=WHOLE if info.splits else None)
    records = records_of(plan, usual, info)
    by_condition = tables(records)
    assert list(by_condition) == ["", changed]
    assert [len(row.records) for row in by_condition[""].table.rows] == [3, 2]
    (gain,) = (standing.gain for standing in by_condition[""].standings if standing.gain)
    assert gain.seeds == 2
    assert [standing.gain for standing in by_condition[changed].standings] == [None]
    assert [power.seeds for power in powers(compute_standings(records), 1.0)] == [2]
    assert f", with {changed}" in leaderboard(compute_standings(records)) and f", with {changed}" in page(
        compute_standings(records)
    )
    assert f", with {changed}\n" in run_table(records)


def test_the_condition_of_a_table_names_its_samples(plan):
    records = [mocks.record(spec, data=data(splits=WHOLE)) for spec in plan]
    (task,) = tables(records).values()
    assert task.table.condition["data.fingerprint"] == "ffffffff"
    assert task.table.condition["data.test"] == "200 samples cccccccc"


def test_skipped_samples_are_noted(plan):
    records = [mocks.record(spec, data=data(splits=WHOLE, skipped=int(spec.seed == 0))) for spec in plan]
    note = "Samples skipped because they could not be read: 1 in 2 runs"
    assert note in leaderboard(compute_standings(records)) and note in page(compute_standings(records))
    assert "with data.skipped=1" in leaderboard(compute_standings(records)), "they are not compared with the others"
    assert "could not be read" not in leaderboard(compute_standings([mocks.record(spec) for spec in plan]))


def test_older_records_stand_with_those_of_the_same_fingerprint_and_counts(plan):
    assert list(tables(records_of(plan, data(), data(splits=WHOLE)))) == [""], "however few have checksums"
    assert list(tables(records_of(plan, data(splits=WHOLE), data()))) == [""]
    assert len(tables(records_of(plan, data(splits=WHOLE), data(counts={"test": 1})))) == 2


def test_a_run_that_failed_before_it_saw_data_stands_with_most(plan):
    records = records_of(plan, data(splits=WHOLE), data("e" * 64, splits=WHOLE))
    for number in (1, 2):  # however the others are ordered
        failed = [
            mocks.failed(plan[number]),
            *(run_record for run_record in records if run_record.id != plan[number].id),
        ]
        by_condition = tables(failed)
        assert [record.id for record in by_condition[""].table.failed] == [plan[number].id]
    longer = [dataclasses.replace(spec, recipe={**spec.recipe, "epochs": 99}) for spec in plan]
    on_other = [mocks.record(spec, data=data("e" * 64, splits=WHOLE)) for spec in longer[:2]]
    by_condition = tables([*records, *on_other, mocks.failed(longer[-1])])
    assert [record.id for record in by_condition["train.epochs=99, data.fingerprint=eeeeeeee"].table.failed] == [
        longer[-1].id
    ]
    (task,) = tables(map(mocks.failed, plan)).values()
    assert len(task.table.failed) == len(plan) and "data.fingerprint" not in task.table.condition


def test_a_control_stands_below_runs_that_saw_the_same_data(plan, mock_suite):
    stream = next(iter(plan[0].streams))
    controls = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [0, 1, 2], [f'data.streams=["{stream}"]']))
    whole = [mocks.record(spec, data=data(splits=WHOLE)) for spec in plan]
    same = tables([*whole, *(mocks.record(spec, data=data(splits=WHOLE)) for spec in controls)])
    assert [len(task.table.controls) for task in same.values()] == [1]
    edited = data(splits={**WHOLE, "test": "d" * 64})
    (first, second) = compute_standings([*whole, *(mocks.record(spec, data=edited) for spec in controls)])
    assert not first.tasks[0].table.controls and second.section.data["streams"] == [stream]


@pytest.mark.parametrize(("edited", "seeds"), [("train", "2"), ("test", "0")])
def test_one_model_for_all_is_compared_on_the_same_test_samples_only(plan, edited, seeds):
    def record(spec, task, splits):
        original = mocks.record(spec, data=data(splits=splits))
        return dataclasses.replace(original, spec=dataclasses.replace(original.spec, task=task))

    lora = [spec for spec in plan if spec.method == "lora"][:2]
    records = [
        *(record(spec, "ref", WHOLE) for spec in lora),
        *(record(spec, "ref:box", {**WHOLE, edited: "d" * 64}) for spec in lora),
    ]
    (standings,) = compute_standings(records)
    ((_, lines),) = multi_task_tables(standings.section)
    assert lines.splitlines()[-1].split("|")[-2].strip() == seeds


def test_seeds_that_draw_their_own_training_samples_are_in_one_table(mock_suite):
    changes = ["train.train_share=0.5", "train.train_draw=seed"]
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1, 2], overrides=changes))
    records = [
        mocks.record(
            spec, 70.0, data=data(counts={"train": 20 + spec.seed}, splits={**WHOLE, "train": f"{spec.seed}" * 64})
        )
        for spec in plan
    ]
    (table,) = tables(records).values()
    assert {len(row.records) for row in table.table.rows} == {3}
