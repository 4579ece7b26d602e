"""A dataset of somebody's own, registered in this process, has all that a built-in one has."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from numbers_layout import write_lists, write_number

from bench import cli, registry
from bench.data import release
from bench.datasets import chance
from bench.datasets.base import Card, Dataset, load_dataset
from bench.datasets.generator import Generator
from bench.errors import UsageError
from bench.saved_adapters.model_index import _task_type
from bench.tasks.ave import AVE

SOURCE = {"source": "generated", "version": 2, "seed": 5}


class Numbers(Dataset):
    card = Card("Numbers", "nobody", ("https://numbers.example",), "none", "train.json", {}, (("train.json",),))
    metric = "accuracy"

    def check(self, root, report, progress, quick):
        report.counts = {"train": {"numbers": len(json.loads((root / "train.json").read_text()))}}
        report.add("even numbers", root / "train.json", "first", "is even, expected odd numbers")
        return root / "train.json"

    def floors(self, root):
        return {"annotations": float(len((root / "test.json").read_text()))}

    def generator(self):
        return Generator({"train": 3, "test": 2}, write_number, write_lists, lambda samples: {"truth": 7.0}, version=2)


@dataclass
class Parity(AVE):
    """Whether a number is even."""

    benchmark: ClassVar[str] = "Numbers"
    layout: ClassVar[str] = "numbers"
    task_type: ClassVar[str] = "text-classification"
    test_splits: ClassVar[tuple[str, ...]] = ("test",)

    def files(self, root, split):
        return [root / f"{split}.json"] if split != "val" else []


@pytest.fixture(autouse=True)
def added(monkeypatch):
    monkeypatch.setattr(registry, "_added", {kind: {} for kind in registry._added})
    registry.add("datasets", "numbers", Numbers)
    registry.add("tasks", "parity", Parity)


def test_its_data_is_generated_with_floors_of_the_truth_and_of_the_annotations(tmp_path):
    root = release.locate(Parity(), SOURCE, tmp_path)
    assert json.loads((root / "train.json").read_text()) == [5, 6, 7]
    assert release.floors(Parity(), SOURCE, root) == {"truth": 7.0, "annotations": 7.0}
    before = release.contents(Parity(), SOURCE, root)
    assert release.present_contents(Parity(), SOURCE, tmp_path) == before
    assert release.present_contents(Parity(), SOURCE | {"version": 1}, tmp_path) is None
    with pytest.raises(UsageError, match=r"data\.version is 1, but this generator makes version 2"):
        release.locate(Parity(), SOURCE | {"version": 1}, tmp_path)


def test_an_official_release_has_floors_of_the_annotations_only(tmp_path):
    (tmp_path / "test.json").write_text("[1, 2, 3]")
    assert release.floors(Parity(), {"source": "official"}, tmp_path) == {"annotations": 9.0}
    masks = replace(Parity())
    masks.metric = "miou"  # type: ignore[misc]
    assert release.floors(masks, {"source": "official"}, tmp_path) == {}


def test_describe_and_verify(tmp_path, capsys):
    assert cli.main(["data", "describe", "parity"]) == 0
    assert "numbers: Numbers" in capsys.readouterr().out
    (tmp_path / "train.json").write_text("[2]")
    assert cli.main(["data", "verify", "parity", "--root", str(tmp_path)]) == 1
    assert "train 1 numbers" in (out := capsys.readouterr().out) and "is even, expected odd" in out
    assert cli.main(["data", "prepare", "parity", "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "numbers is read as it was released" in capsys.readouterr().err


def test_a_layout_that_nobody_registered_has_nothing(tmp_path):
    nothing = load_dataset("nothing")
    assert nothing.card is None and nothing.generator() is None and nothing.floors(tmp_path) == {}
    with pytest.raises(UsageError, match="no checks of nothing are defined"):
        nothing.check(tmp_path, None, None, False)


def test_model_cards_have_the_type_of_the_task():
    assert _task_type("parity") == "text-classification" and _task_type("ave") == "video-classification"
    assert _task_type("refcoco:mask") == "image-segmentation" and _task_type("uninstalled") == "other"


def test_chance_is_the_most_frequent_answer_for_what_is_known():
    train, test = ["yes", "yes", "no", "no", "no"], ["yes", "no", "yes", "no"]
    assert chance.accuracy(train, test) == 50.0
    questions = ["a", "a", "a", "b", "b"], ["a", "b", "a", "unseen"]
    assert chance.accuracy(train, test, questions) == 100.0
