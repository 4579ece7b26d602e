"""The frame of records has the leaderboard's rows."""

from __future__ import annotations

from pathlib import Path

import mocks
import pytest
from snippets import snippets

import bench
from bench.config.plan import RunRequest, make_plan
from bench.records import store

ROOT = Path(__file__).parents[3]
MINI = ROOT / "results" / "mini"


def rows(text):
    """Mean and number of seeds of every row of the tables of scores, by task, heading and label."""
    scored_rows, heading = {}, ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading, scored = line, False
        cells = [cell.strip().replace("\\|", "|") for cell in line.strip("|").split(" | ")]
        if line.startswith("| method"):
            scored = cells[1] == "place"
        elif line.startswith("| ") and scored and not cells[0].startswith("floor"):
            task, _, condition = heading.removeprefix("### ").partition(": ")
            label, _, seeds = cells[0].rpartition(", ") if cells[0].startswith("control") else (cells[0], "", cells[4])
            scored_rows[task, condition, label] = cells[2], int(seeds.split()[0])
    return scored_rows


def test_the_lines_of_the_readme_print_the_numbers_of_the_leaderboard(tmp_path, monkeypatch):
    (block,) = (snippet for snippet in snippets(ROOT / "README.md") if snippet.language == "python")
    printed = []
    (tmp_path / "results").symlink_to(MINI)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.api.run", lambda *_, **__: [])
    exec(block.text, {"__name__": "__main__", "print": printed.append})
    expected = rows((MINI / "leaderboard.md").read_text())
    assert len(expected) > 100
    assert {key: (f"{mean:.2f}", count) for key, mean, _, count in printed[0].itertuples()} == expected


def test_what_the_method_alone_would_mix_has_labels_and_conditions_of_its_own(mock_suite, tmp_path):
    def run(*changes, method="lora", score=70.0):
        for spec in make_plan(RunRequest(str(mock_suite), [method], ["ave"], [0, 1], changes)):
            store.write(mocks.record(spec, score), tmp_path)

    for method in ("lora", "cola"):
        run(method=method)
    run("lora.r=54", score=80.0)
    run("ave.epochs=12", score=90.0)
    run('data.streams=["vision"]', score=30.0)
    run("data.version=4", score=20.0)
    store.write(mocks.failed(make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [7]))[0]), tmp_path)
    frame = bench.to_frame(bench.load_records(tmp_path))
    title = "suite mock, generated data v{} (world 7), not the benchmark's own"
    scores = frame.dropna(subset=["score"]).groupby(["condition", "label"])["score"].agg(["mean", "count"])
    assert {key: (mean, count) for key, mean, count in scores.itertuples()} == {
        (title.format(3), "lora"): (70, 2),
        (title.format(3), "cola"): (70, 2),
        (title.format(3), "lora (r=54)"): (80, 2),
        (title.format(3), "control: lora, vision only"): (30, 2),
        (f"{title.format(3)}, with train.epochs=12", "lora"): (90, 2),
        (title.format(4), "lora"): (20, 2),
    }
    (failed,) = frame[frame["status"] == "failed"].itertuples()
    assert (failed.condition, failed.label) == (title.format(3), "lora")


@pytest.mark.parametrize("order", [1, -1])
def test_places_are_those_of_the_records_in_their_order(mock_suite, order):
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave", "avs"], [0, 1]))[::order]
    frame = bench.to_frame(map(mocks.record, plan))
    assert list(frame["label"]) == list(frame["method"]) == [spec.method for spec in plan]
