from __future__ import annotations

import dataclasses

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.report.leaderboard import leaderboard as markdown
from bench.report.standings import compute_standings


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [0, 1]))


def renamed(record, task, test, splits=None):
    scores = dataclasses.replace(record.scores, metric=next(iter(test)), test=test, splits=splits)
    return dataclasses.replace(record, spec=dataclasses.replace(record.spec, task=task), scores=scores)


def rows(text, heading):
    lines = text.split(heading, 1)[1].split("\n#")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def leaderboard(records):
    return markdown(compute_standings(records))


def test_joint_training_is_compared_with_single_targets(plan):
    first, second = (mocks.record(spec) for spec in plan)
    text = leaderboard(
        [
            renamed(first, "ref", {"accuracy": 50.0, "miou": 40.0}),
            renamed(second, "ref", {"accuracy": 60.0, "miou": 44.0}),
            renamed(first, "ref:box", {"accuracy": 51.0}),
            renamed(second, "ref:box", {"accuracy": 57.0}),
            renamed(second, "ref:mask", {"miou": 45.0}),
        ]
    )
    header, _, box, mask = rows(text, "### ref, one model for all targets compared with one per target")
    assert header == ["method", "target", "metric", "joint", "single", "difference", "seeds"]
    assert box == ["lora", "box", "accuracy", "55.00 ± 7.07", "54.00 ± 4.24", "+1.00", "2"]
    assert mask[1:3] == ["mask", "miou"] and mask[3:] == ["44.00", "45.00", "-1.00", "1"]


def test_no_table_without_a_task_of_one_target(plan):
    text = leaderboard([renamed(mocks.record(plan[0]), "ref", {"accuracy": 50.0})])
    assert "one model for all targets" not in text


def test_each_split_under_its_own_name(plan):
    splits = {"val": {"accuracy": 1.0}, "testA": {"accuracy": 2.0}, "testB": {"accuracy": 3.0}}
    text = leaderboard([renamed(mocks.record(plan[0]), "ref", {"accuracy": 50.0}, splits)])
    assert "accuracy val" in text and "accuracy testB" in text
    (line,) = [line for line in text.splitlines() if {"2.00", "3.00"} <= {*line.split()}]
    assert line.index("1.00") < line.index("2.00") < line.index("3.00")
