"""Gains on each test split: by the rule of all others, and judged as one table."""

from __future__ import annotations

import dataclasses

import made_standings
import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bench.records import sample_scores, store
from bench.report.finding import comparisons
from bench.report.html.data import plain
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.standings import compute_standings
from bench.report.write import write_leaderboard

METHODS = ("lora", "cola", "head")
SIZES = {"testA": 40, "testB": 60}
GAINS = {"lora": 0.0, "cola": 4.0, "head": -9.0}


def scored(method, seed, of_splits, task="refcoco"):
    """A record with these primary scores on test splits; None for a split that has another score only."""
    record = made_standings.record(made_standings.spec(method, task, seed))
    metric = record.scores.metric
    splits = {split: {"null_s": 4.0} if value is None else {metric: float(value)} for split, value in of_splits.items()}
    whole = float(np.mean([value for value in of_splits.values() if value is not None]))
    scores = dataclasses.replace(
        record.scores, test={metric: whole}, splits={"val": {metric: 50.0}, **splits}, test_samples=sum(SIZES.values())
    )
    return dataclasses.replace(record, scores=scores)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with four seeds of three methods, and the scores of single samples; CoLA gains on testB."""
    results = tmp_path_factory.mktemp("results")
    drawn = np.random.default_rng(0)
    of_sample = {split: drawn.normal(50, 8, size) for split, size in SIZES.items()}
    for method in METHODS:
        for seed in range(4):
            per_sample = {
                split: of_sample[split]
                + GAINS[method] * (split == "testB")
                + drawn.normal(0, 1)
                + drawn.normal(0, 3, size)
                for split, size in SIZES.items()
            }
            record = scored(method, seed, {split: values.mean() for split, values in per_sample.items()})
            metric = record.scores.metric
            whole = float(np.concatenate([*per_sample.values()]).mean())
            record = dataclasses.replace(record, scores=dataclasses.replace(record.scores, test={metric: whole}))
            store.write(record, results)
            saved = {split: {metric: values} for split, values in per_sample.items()}
            sample_scores.save(saved, results, record.stem)
    return results


@pytest.fixture(scope="module")
def records(folder):
    return store.read_existing(folder)


def split_gains(records, results=None, reference="lora"):
    """The gains on each test split of the only task."""
    (section,) = compute_standings(records, results, reference, each_split=True)
    return section.tasks[0].split_gains


def test_gains_are_those_of_findings_and_judged_as_one_table(folder, records):
    gains = split_gains(records, folder)
    assert {split: set(of_split) for split, of_split in gains.items()} == {split: {"cola", "head"} for split in SIZES}
    runs = {method: {r.spec.seed: r for r in records if r.spec.method == method} for method in METHODS}
    p_values, p_holm = [], []
    for split, of_split in gains.items():
        for label, gain in of_split.items():
            compared = comparisons.compare("", runs[label], runs["lora"], split)
            assert gain.points == pytest.approx(compared.first - compared.second)
            assert (gain.interval.low, gain.interval.high) == compared.mean_difference.interval()
            assert gain.p == compared.mean_difference.p_value() and gain.with_samples
            p_values.append(gain.p)
            p_holm.append(gain.p_holm)
    assert p_holm == pytest.approx(multipletests(p_values, method="holm")[1]), "over methods and splits"
    verdicts = {split: {label: gain.verdict for label, gain in of_split.items()} for split, of_split in gains.items()}
    assert verdicts == {
        "testA": {"cola": "undecided", "head": "undecided"},
        "testB": {"cola": "better", "head": "worse"},
    }


def test_another_reference_and_none(records, folder):
    assert set(split_gains(records, folder, "cola")["testA"]) == {"lora", "head"}
    assert split_gains([record for record in records if record.spec.method != "lora"], folder) == {}
    (section,) = compute_standings(records, folder)
    assert section.tasks[0].split_gains == {}, "only the leaderboard needs them"


def test_without_scores_of_samples_they_are_over_seeds(records):
    gains = split_gains([dataclasses.replace(record) for record in records])  # a copy does not know its folder
    assert not any(gain.with_samples for of_split in gains.values() for gain in of_split.values())
    assert gains["testB"]["cola"].interval


@pytest.mark.parametrize(
    ("of_splits", "shown"),
    [
        ({"test": 70.0}, []),
        ({"test_s": 70.0, "test_n": None}, []),
        ({"test_s": 70.0, "test_u": 60.0, "test_n": None}, ["test_s", "test_u"]),
    ],
)
def test_splits_with_the_primary_score_count_if_there_are_several(of_splits, shown):
    few = [scored(method, seed, of_splits) for method in METHODS for seed in range(2)]
    assert list(split_gains(few)) == shown


def test_seeds_that_lack_a_split_do_not_count_on_it(records):
    lacking = scored("cola", 9, {"testA": 51.0, "testB": None})
    gains = split_gains(
        [*map(dataclasses.replace, records), lacking, scored("lora", 9, {"testA": 50.0, "testB": 50.0})]
    )
    assert (gains["testA"]["cola"].seeds, gains["testB"]["cola"].seeds) == (5, 4)


def test_the_leaderboard_has_a_table_of_them(folder, records):
    standings = compute_standings(records, folder, each_split=True)
    text = leaderboard(standings)
    gains = standings[0].tasks[0].split_gains
    title = f"Gain over lora on each test split, in points of {standings[0].tasks[0].table.metrics[0]}; verdicts"
    assert title in text
    head, _, *lines = text.split(title)[1].split("\n\n")[1].splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        *("method", "testA", "95% interval", "testB", "95% interval"),
    ]
    cells = {label: rest for label, *rest in ([c.strip() for c in line.strip("|").split("|")] for line in lines)}
    bounds = {split: of_split["cola"].interval for split, of_split in gains.items()}
    assert cells["cola"] == [
        f"{gains['testA']['cola'].points:+.2f}",
        f"{bounds['testA'].low:+.2f} to {bounds['testA'].high:+.2f}",
        f"{gains['testB']['cola'].points:+.2f} ▲",
        f"{bounds['testB'].low:+.2f} to {bounds['testB'].high:+.2f}",
    ]
    assert set(cells) == {"cola", "head"}, "not the reference"
    single = [scored(method, seed, {"test": 70.0}) for method in METHODS for seed in range(2)]
    assert "each test split" not in leaderboard(compute_standings(single, each_split=True))


def test_the_page_has_them_as_table_and_data(folder):
    _, path = write_leaderboard(folder)
    text = path.read_text(encoding="utf-8")
    assert text.count("By test split: gain over lora (▲ better, ▼ worse)</caption>") == 1
    assert text.count('<th scope="colgroup" colspan="2" data-keyed="">test') == 2
    standings = compute_standings(store.read_existing(folder), folder, each_split=True)
    task = plain(standings)["tasks"]["section-0-task-0"]
    assert [split["name"] for split in task["splits"]] == ["testA", "testB"]
    labels = [row["label"] for row in task["rows"]]
    for split in task["splits"]:
        assert [row["label"] for row in split["rows"]] == labels
        assert [len(row["runs"]) for row in split["rows"]] == [4] * 3
        of_split = standings[0].tasks[0].split_gains[split["name"]]
        points = split["gains"]["lora"][labels.index("cola")][0]
        assert points == pytest.approx(of_split["cola"].points, abs=1e-4)
    assert "splits" not in plain(compute_standings(store.read_existing(folder)))["tasks"]["section-0-task-0"]
    assert "By test split: gain over lora" not in page(compute_standings(store.read_existing(folder), folder))
