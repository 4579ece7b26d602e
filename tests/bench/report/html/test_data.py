from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import made_standings
import pytest

from bench.records.record_file import RecordFile
from bench.report.html.data import plain
from bench.report.html.links import method_links
from bench.report.standings import compute_standings


@pytest.fixture(scope="module")
def judged():
    return made_standings.judged(made_standings.records())


def test_rows_in_plain_values(judged):
    content = plain(judged)
    assert json.loads(json.dumps(content)) == content
    task = content["tasks"]["section-0-task-0"]
    assert (task["task"], task["metric"]) == ("ave", "accuracy")
    assert [row["label"] for row in task["rows"]] == list(made_standings.METHODS)
    row = task["rows"][0]
    assert {key: row[key] for key in ("mean", "interval", "parameters", "memory", "speed", "seconds")} == {
        "mean": 78.5,
        "interval": [77.25, 79.75],
        "parameters": 13_900,
        "memory": 930,
        "speed": 128,
        "seconds": 50,
    }
    assert row["runs"] == [[seed, made_standings.spec("cola", seed=seed).id, 78 + seed / 2] for seed in range(3)]
    assert row["curve"][0] == [1, 62.5, 62, 63, 6.25]  # an eighth of 50 s
    assert len(row["curve"]) == 8
    facts = content["facts"]
    assert facts[row["settings"]] == judged[0].section.tables[0].rows[0].settings
    assert facts[task["condition"]]["data"] == {"source": "generated", "version": 1, "seed": 0}
    assert [facts[number]["device"] for number in row["environments"]] == ["cpu"]


def test_gains_in_plain_values_are_in_the_order_of_rows():
    standings = compute_standings(made_standings.records(["ave", "refcoco", "refcocog"]), each_reference=True)
    tasks = plain(standings)["tasks"]
    for name, gains in (("all", standings[0].mean_gains_of_each), ("task-1", standings[0].tasks[1].gains)):
        task = tasks[f"section-0-{name}"]
        labels = [row["label"] for row in task["rows"]]
        assert set(task["gains"]) == set(labels) == set(gains)
        for reference, stored in task["gains"].items():
            assert stored[labels.index(reference)] is None
            for label, of_label in gains[reference].items():
                points, percent, seeds, low, high, p, verdict, samples = stored[labels.index(label)]
                assert (points, low, high) == pytest.approx(
                    (of_label.points, of_label.interval.low, of_label.interval.high), abs=1e-4
                )
                assert (seeds, verdict, samples) == (3, of_label.verdict, 0)
                assert percent == pytest.approx(of_label.percent, abs=1e-4) and p == pytest.approx(
                    of_label.p_holm, 0.01
                )
    everything = tasks["section-0-all"]
    assert everything["of"] == [f"section-0-task-{number}" for number in range(3)]
    assert everything["weights"] == [0.5, 0.25, 0.25] and "over 2 families" in everything["note"]
    assert [row["mean"] for row in everything["rows"]] == [78.5, 76.5, 75.5, 61.5]
    assert everything["rows"][0]["parameters"] == 13_900


def test_runs_link_to_their_records(tmp_path):
    first, second, third = made_standings.records(["ave"], seeds=3)[::4]
    first = first.with_file(RecordFile(first.stem, results=tmp_path))
    second = second.with_file(RecordFile(f"{second.stem}~1", results=tmp_path))
    third = third.with_file(RecordFile(third.stem, results=tmp_path / "elsewhere"))
    standings = made_standings.judged([first, second, third])
    content = plain(standings, results=tmp_path)
    (row,) = content["tasks"]["section-0-task-0"]["rows"]
    assert content["records"] == "records"
    assert [run[3:] for run in row["runs"]] == [[], [f"{second.stem}~1"], [None]]
    assert plain(standings)["records"] is None


def test_methods_link_to_papers_and_files_of_a_checkout(tmp_path):
    root = Path(__file__).parents[4]
    links = method_links("lora", root / "results" / "mini")
    assert links["paper"] == ["arXiv 2106.09685", "https://arxiv.org/abs/2106.09685"]
    assert links["file"] == ["methods/lora.py", "../../methods/lora.py"]
    assert method_links("head", tmp_path) == method_links("gone", root / "results") == {}


def test_what_rows_share_is_there_once(judged):
    facts = [json.dumps(fact, sort_keys=True) for fact in plain(judged)["facts"]]
    assert len(set(facts)) == len(facts) == 5  # settings, two conditions, an environment, data


def test_epochs_end_when_the_record_says():
    first, second = made_standings.records(["ave"], seeds=2)[:2]
    times = [dataclasses.replace(record.times, epochs=[20.0, *range(21, 28)]) for record in (first, second)]
    records = [
        dataclasses.replace(record, times=run_times) for record, run_times in zip((first, second), times, strict=True)
    ]
    [standings] = made_standings.judged(records)
    row = plain([standings])["tasks"]["section-0-task-0"]["rows"][0]
    assert [point[-1] for point in row["curve"]] == [20, *range(21, 28)]
