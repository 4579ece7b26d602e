from __future__ import annotations

import pytest

from bench.report.families import families, families_note, family, weights

TASKS = ["ave", "refcoco", "avs", "refcocog:mask", "refcoco+refcoco_plus", "gone"]


def test_tasks_declare_their_family():
    assert [family(task) for task in TASKS] == ["ave", "grounding", "avs", "grounding", "grounding", "gone"]
    assert families(TASKS) == {"ave": [0], "grounding": [1, 3, 4], "avs": [2], "gone": [5]}


def test_families_weigh_alike():
    assert weights(TASKS) == pytest.approx([1 / 4, 1 / 12, 1 / 4, 1 / 12, 1 / 12, 1 / 4])
    assert weights(["ave"]) == [1]


def test_it_is_said_where_it_matters():
    note = "Means over all tasks are over 2 families, each the mean of its tasks (grounding: refcoco, refcocog)."
    assert families_note(["refcoco", "ave", "refcocog"]) == note
    assert families_note(["ave", "refcoco"]) == families_note(["refcoco", "refcocog"]) == ""
