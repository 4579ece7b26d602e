from __future__ import annotations

import re
import statistics
from typing import get_args

import pytest

from bench import registry
from bench.report.published import Group, published, published_notes

GROUPS = get_args(Group)
GROUNDING = ("refcoco", "refcoco_plus", "refcocog")
JOINED = "+".join(GROUNDING)


def find(**columns):
    return [row for row in published() if all(row[key] == value for key, value in columns.items())]


def test_as_many_rows_as_were_published():
    assert {group: len(published(group)) for group in GROUPS} == {
        "results": 4 * 5 + 8 + (4 + 5 + 5 + 5 + 1) + 4 * 3,
        "ablations": 5,
        "costs": 11,
        "elsewhere": 12,
    }
    assert published() == published("results")


@pytest.mark.parametrize("group", GROUPS)
def test_every_row_is_whole(group):
    rows = published(group)
    for row in rows:
        assert all(row[key] for key in ("metric", "method", "setting", "source"))
        assert row["task"] or group == "costs"
        assert re.fullmatch(r"x?[\d,]+(\.\d+)?( / \d+\.\d+)*", row["score"]), row["score"]
    assert len({tuple(row.values()) for row in rows}) == len(rows)


def test_a_score_for_each_split_of_a_task_that_is_there():
    for row in published():
        registry.load("tasks", row["task"])
        assert row["score"].count("/") == row["splits"].count("/"), row


@pytest.mark.parametrize(
    ("columns", "score"),
    [
        ({"task": "refcoco", "method": "CoLA r 16"}, "89.4 / 91.0 / 86.9"),
        ({"task": "refcocog", "method": "LoRA r 54 (parameter-matched)"}, "79.7 / 79.3"),
        ({"task": "refcoco_plus", "method": "SwimVG"}, "77.9 / 83.2 / 69.95"),
        ({"task": "refcoco", "method": "MaPPER"}, "86.03 / 88.90 / 81.19"),
        ({"task": "refcoco_plus", "method": "DETRIS-B", "metric": "miou"}, "68.9 / 74.0 / 61.5"),
        ({"task": JOINED, "metric": "RES mean", "method": "CoLA r 16"}, "73.7"),
        ({"task": "ave", "method": "CoLA r 16", "trainable_millions": 18.6}, "80.7"),
        ({"task": "avs", "method": "CoLA r 16", "trainable_millions": 44.8}, "80.9"),
        ({"task": "avs", "method": "LoRA r 16", "trainable_millions": None}, "80.1"),
        ({"task": "ave", "setting": "DINOv2-L vision"}, "81.1"),
        ({"task": "ave", "method": "STG-CMA"}, "83.3"),
        ({"task": "avs_ms3", "method": "TPAVI", "metric": "f_score"}, "64.5"),
        ({"task": "avs", "method": "DG-SCT", "metric": "f_score"}, "89.2"),
    ],
)
def test_figures_as_they_were_published(columns, score):
    (row,) = find(**columns)
    assert row["score"] == score


def test_the_means_of_the_cola_paper_are_those_of_its_splits():
    """A digit that was copied wrongly would show."""
    means = find(task=JOINED, metric="REC mean")
    assert len(means) == 4
    for mean in means:
        rows = [row for task in GROUNDING for row in find(task=task, method=mean["method"])]
        splits = [float(score) for row in rows for score in row["score"].split(" / ")]
        assert len(splits) == 8
        assert statistics.fmean(splits) == pytest.approx(float(mean["score"]), abs=0.051)


def test_the_ratios_of_cost_are_those_of_the_figures():
    costs = {(row["method"], row["metric"]): row["score"].replace(",", "").lstrip("x") for row in published("costs")}
    for (method, metric), ratio in costs.items():
        if method == "CoLA against LoRA":
            expected = float(costs["CoLA", metric]) / float(costs["LoRA", metric])
            assert float(ratio) == pytest.approx(expected, abs=0.005), metric


def test_every_published_f_score_says_how_it_differs_from_ours():
    notes = {row["metric"]: row["note"] for row in published()}
    assert "at its own best threshold" in notes.pop("f_score") and not any(notes.values())
    assert all(bool(row["note"]) == (row["metric"] == "f_score") for row in published())
    assert "batches of four videos" in registry.load("tasks", "avs").metrics["f_score"]
    assert published_notes(published()) == [find(metric="f_score")[0]["note"]]
    assert published_notes(find(metric="miou")) == []


def test_sources_name_the_paper():
    assert "arXiv 2604.03314" in find(method="CoLA r 16", task="ave")[0]["source"]
    assert "ECCV 2022" in find(method="TPAVI", task="avs")[0]["source"]
