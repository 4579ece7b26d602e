"""What trials of `bench tune` say of the luck of a search, in tables and for the committed records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.records import store
from bench.records.schema import Epoch, RecordFile
from bench.report.grouping import sections
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.standings import compute_standings
from bench.report.tuning_trials import Trials

MINI = Path(__file__).parents[3] / "results" / "mini"
SCORES = {0.01: (70.0, 72.0, 71.0), 0.02: (73.0, 69.0, 69.5), 0.04: (99.0, 99.0, None), 0.08: (60.0, 60.0, 60.0)}
"""Validation scores by rate and seed; None for a run that failed."""


@pytest.fixture
def folder(mock_suite, tmp_path):
    """Makes a results folder with tuned runs of LoRA and untuned ones of CoLA, and with trials of both."""

    def make(number=3, trial_changes=(), **tuning):
        def specs(method, rate, seeds, *changes):
            sets = [f"{method}.lr_adapter={rate}", *changes]
            return make_plan(RunRequest(str(mock_suite), [method], ["ave"], seeds, sets))

        for method in ("lora", "cola"):
            for rate, scores in SCORES.items():
                for spec, score in zip(
                    specs(method, rate, range(100, 100 + number), *trial_changes), scores, strict=False
                ):
                    store.write(
                        mocks.failed(spec) if score is None else trial(spec, score), tmp_path / "out" / "tuning"
                    )
            tuned = {"file": "tuned.toml", "tuning": {"seeds": [100, 101, 102][:number], "epochs": "suite"} | tuning}
            for spec in specs(method, 0.01, range(3)):
                store.write(mocks.record(spec, tuned=tuned if method == "lora" else None), tmp_path / "out")
        return tmp_path / "out"

    return make


def trial(spec, score):
    """A trial whose best epoch, the second, has this score."""
    record = mocks.record(spec)
    metric = record.scores.metric
    curve = [Epoch(number, number, 0.5, {metric: score - worse}) for number, worse in ((1, 5.0), (2, 0.0), (3, 9.0))]
    scores = replace(record.scores, validation=curve, best_epoch=2, test={}, test_samples=0, floors={})
    return replace(record, scores=scores, memory=None, throughput=None)


def lines_of(results):
    standings = compute_standings(store.read_all(results))
    return Trials.beside(standings).lines(standings[0].tasks[0].table)


def test_the_second_best_trial_and_the_seeds_that_agree(folder):
    """The one of 99 has a failed run, and CoLA's rate was not tuned."""
    line = ["lora", "lr_adapter=0.01", "71.00", "lr_adapter=0.02", "70.50", "0.50", "3", "2 of 3"]
    assert lines_of(folder()) == [line]


def test_a_search_with_one_seed_says_so(folder):
    (line,) = lines_of(folder(number=1))
    assert line[2:] == ["70.00", "lr_adapter=0.04", "99.00", "-29.00", "4", "one seed only"], "of its records"


def test_trials_with_other_seeds_are_of_another_search(folder):
    (line,) = lines_of(folder(seeds=[101]))
    assert line[2:] == ["72.00", "lr_adapter=0.04", "99.00", "-27.00", "4", "one seed only"]


def test_shorter_trials_count_where_the_search_had_them(folder):
    assert lines_of(folder(trial_changes=("ave.epochs=2",))) == []
    assert lines_of(folder(trial_changes=("ave.epochs=2",), epochs=2))[0][-1] == "2 of 3"


def test_markdown_and_page_have_the_table(folder):
    results = folder()
    standings = compute_standings(store.read_all(results))
    (line,) = lines_of(results)
    text, markup = leaderboard(standings), page(standings, results=results)
    assert re.search(r"\n\| " + r" +\| +".join(map(re.escape, line)) + r" +\|\n", text), line
    assert f'<th scope="row">lora</th>{"".join(f"<td>{cell}</td>" for cell in line[1:])}' in markup
    in_memory = compute_standings(record.with_file(RecordFile(record.stem)) for record in store.read_all(results))
    assert "seeds that agree" not in leaderboard(in_memory) + page(in_memory), "without a folder there are no trials"


def test_the_committed_trials_chose_what_the_committed_settings_say():
    trials = Trials(store.read_all(MINI / "tuning", trials=True))
    choices = [
        (table.task, row.records[0].spec.method, choice)
        for section in sections(store.read_all(MINI))
        for table in section.tables
        for row in table.rows
        if (choice := trials.choice(row))
    ]
    entry = r"^\[tasks\.(.+)\.methods\.(.+)\]\n# .*?; validation \S+ ([\d.]+\d).*\n(\w+) = (.+)$"
    entries = {
        (task.strip('"'), method, score, name, float(value))
        for path in MINI.glob("tuned*.toml")
        for task, method, score, name, value in re.findall(entry, path.read_text(), re.MULTILINE)
    }
    assert len(choices) == 60
    for task, method, choice in choices:
        ((name, value),) = choice.values.items()
        assert (task, method, f"{choice.score:.2f}", name, value) in entries
        assert (choice.trials, choice.seeds) == (5, 1) and choice.second_score <= choice.score
