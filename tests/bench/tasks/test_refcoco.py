"""The names of grounding tasks: data sets joined by +, a target after a colon."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import registry
from bench.config import toml
from bench.config.plan import RunRequest, make_plan
from bench.errors import UsageError
from bench.tasks.grounding import _open
from bench.tasks.refcoco import DATASETS, RefCOCO, task_class

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
JOINED = ("refcoco+refcoco_plus", "refcoco+refcocog", "refcoco_plus+refcocog", "refcoco+refcoco_plus+refcocog")


@pytest.fixture(autouse=True)
def entry_points_of_checkout(monkeypatch):
    """Return the entry points that an installation of this checkout would have."""
    groups = toml.parse(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]
    points = {
        group: [EntryPoint(name, value, group) for name, value in table.items()] for group, table in groups.items()
    }
    monkeypatch.setattr("bench.registry.entry_points", lambda group: points.get(group, []))


@pytest.mark.parametrize("target", ["", ":box", ":mask"])
@pytest.mark.parametrize("name", [*DATASETS, *JOINED])
def test_every_combination_has_a_task(name, target):
    task = registry.load("tasks", f"{name}{target}")
    assert issubclass(task, RefCOCO) and task is registry.load("tasks", f"{name}{target}")
    assert task.datasets == tuple(name.split("+"))
    assert task.targets == ((target[1:],) if target else ("box", "mask"))
    assert (
        set(task().metrics)
        == {
            "": {*RefCOCO.metrics},
            ":box": {"accuracy@0.5"},
            ":mask": {*RefCOCO.metrics} - {"accuracy@0.5"},
        }[target]
    )
    assert task.metric in task.metrics and bool(task.scoring_rules) == (target != ":mask")
    assert task.layout == ("refer" if "+" in name else name)
    assert task.test_splits == {
        "refcoco": ("testA", "testB"),
        "refcoco_plus": ("testA", "testB"),
        "refcocog": ("test",),
        "refcoco+refcocog": ("refcoco.testA", "refcoco.testB", "refcocog.test"),
    }.get(name, task.test_splits)
    assert "+" not in name or {split.partition(".")[0] for split in task.test_splits} == set(task.datasets)


def test_what_a_derived_task_is():
    assert registry.load("tasks", "refcocog:mask").__doc__ == "RefCOCOg (umd split): mask only (RES)."
    joined = registry.load("tasks", "refcoco+refcoco_plus+refcocog:box")
    assert joined.benchmark == "RefCOCO, RefCOCO+ and RefCOCOg"
    assert joined.__doc__ == f"{joined.benchmark} trained together, scored one by one: box only (REC)."


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("refcocog+refcoco:box", "this combination is called refcoco+refcocog:box"),
        ("refcoco+refcoco", "this combination is called refcoco"),
        ("refcoco_pluss", "no data set 'refcoco_pluss': did you mean refcoco_plus"),
        ("refcoco+ave", "no data set 'ave': known: refcoco, refcoco_plus, refcocog"),
        ("refcoco+", "no data set ''"),
        ("refcoco:boxes", "write :box, :mask, or no colon for both"),
        ("refcoco+refcocog:", "write :box, :mask, or no colon for both"),
    ],
)
def test_a_name_that_is_none_says_what_to_write(name, message):
    with pytest.raises(UsageError) as raised:
        registry.load("tasks", name)
    assert str(raised.value).startswith(f"unknown task {name}: ") and message in str(raised.value)


def test_a_joined_task_takes_the_settings_of_the_family_in_a_suite():
    joined, single = (
        make_plan(RunRequest("mini", ["cola"], [task]))[0] for task in ("refcoco+refcocog:box", "refcoco")
    )
    assert (joined.recipe, joined.settings, joined.streams) == (single.recipe, single.settings, single.streams)
    assert joined.task_settings == single.task_settings and joined.id != single.id


def test_the_google_split_holds_out_images_and_is_tested_on_its_validation_split(monkeypatch):
    def release(root, dataset, split, problems, boxes):
        return SimpleNamespace(expressions=[SimpleNamespace(split=split, image_id=i // 2) for i in range(400)])

    monkeypatch.setattr("bench.datasets.refcoco.Release", release)
    task = task_class("refcocog_google")
    parts = {
        split: _open(Path(), task.datasets, split, [], True).expressions
        for split in ("train", "val", *task.test_splits)
    }
    images = {split: {e.image_id for e in expressions} for split, expressions in parts.items()}
    assert not images["train"] & images["val"] and len(images["train"] | images["val"]) == 200
    assert 10 <= len(images["val"]) <= 30
    assert {e.split for e in parts["official_val"]} == {"val"} and len(parts["official_val"]) == 400
    with pytest.raises(UsageError, match="refcocog_google is trained alone"):
        task_class("refcoco+refcocog_google")
