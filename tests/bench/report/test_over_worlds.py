"""Means and gains over worlds: against scipy where one factor varies, and in all forms of the leaderboard."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from made_standings import GAINS, run_in_world
from made_standings import records_in_worlds as records

from bench.records.schema import Record
from bench.report import estimates
from bench.report.comparison import compare
from bench.report.estimates import Estimate
from bench.report.formatting import NONE
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.over_worlds import ALL_TASKS, difference_over_worlds, over_worlds
from bench.report.standings import compute_standings


def rows_of(measured: list[Record], task: str = "ave"):
    """The rows of a task's table over worlds, by label."""
    (item,) = over_worlds(compute_standings(measured), "lora")
    (table,) = (table for table in item.tables if table.task == task)
    return {row.label: row for row in table.rows}


def bounds(interval):
    return (interval.low, interval.high)


def test_where_seeds_have_nothing_in_common_it_is_students_t_over_worlds():
    row = rows_of(records())["cola"]
    of_worlds = np.mean(GAINS, axis=1)
    test = scipy.stats.ttest_1samp(of_worlds, 0)
    assert (row.worlds, row.seeds, row.gain.seeds) == ((0, 1, 2), 3, 3)
    assert row.gain.points == pytest.approx(of_worlds.mean())
    assert bounds(row.gain.interval) == pytest.approx(tuple(test.confidence_interval()))
    assert (row.gain.p, row.gain.p_holm, row.gain.verdict) == (pytest.approx(test.pvalue), row.gain.p, "undecided")
    assert row.gain.percent == pytest.approx(100 * of_worlds.mean() / 56), "of the level of LoRA: 51, 56 and 61"


def test_where_worlds_are_alike_it_is_students_t_over_seeds():
    row = rows_of(records(lambda task, world, seed: 2.0 + 0.1 * seed))["cola"]
    test = scipy.stats.ttest_1samp([2.0, 2.1, 2.2], 0)
    assert bounds(row.gain.interval) == pytest.approx(tuple(test.confidence_interval()))
    assert (row.gain.p, row.gain.verdict) == (pytest.approx(test.pvalue), "better")
    assert row.interval.low < row.mean - 10 < row.mean < row.mean + 10 < row.interval.high, "scores differ by world"


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 3.0]))
def test_other_worlds_never_make_an_interval_narrower(worlds, seeds, draw, between):
    rng = np.random.default_rng(draw)
    means_WS = between * rng.standard_normal((worlds, 1)) + rng.standard_normal((worlds, seeds))
    by_world = [Estimate(tuple(means), rng.random(), 99.0, True) for means in means_WS.tolist()]
    estimate, fixed = estimates.over_worlds(by_world), estimates.mean_of(by_world)
    assert (estimate.worlds, estimate.seeds, estimate.mean) == (worlds, seeds, pytest.approx(fixed.mean))
    if min(worlds, seeds) < 3:
        assert (estimate.interval(), estimate.p_value()) == (None, None)
        return
    low, high = estimate.interval()
    assert low <= fixed.interval()[0] and high >= fixed.interval()[1]
    assert estimate.p_value() >= fixed.p_value()


@pytest.mark.parametrize(("worlds", "seeds", "verdict"), [(2, 3, "too few worlds"), (3, 2, "too few seeds")])
def test_with_fewer_than_three_of_either_there_is_no_interval(worlds, seeds, verdict):
    row = rows_of(records(worlds=worlds, seeds=seeds))["cola"]
    assert row.gain.points == pytest.approx(np.mean([GAINS[world][:seeds] for world in range(worlds)]))
    assert (row.interval, row.gain.interval, row.gain.p, row.gain.verdict) == (None, None, None, verdict)


def test_a_gain_is_over_what_both_have():
    """LoRA lacks the world 0, and CoLA the seed 1 in the world 2."""
    measured = [
        record
        for record in records(worlds=3, seeds=3)
        if (record.spec.method, record.spec.data["seed"]) != ("lora", 0)
        and (record.spec.method, record.spec.data["seed"], record.spec.seed) != ("cola", 2, 1)
    ]
    rows = rows_of(measured)
    assert [(row.worlds, row.seeds) for row in (rows["cola"], rows["lora"])] == [((0, 1, 2), 2), ((1, 2), 3)]
    assert rows["cola"].gain.points == pytest.approx(
        np.mean([GAINS[world][seed] for world in (1, 2) for seed in (0, 2)])
    )
    fewer = [record for record in measured if record.spec.method == "cola" or record.spec.data["seed"] == 1]
    assert rows_of(fewer)["cola"].gain is None, "one common world is none to be over"
    assert "lora" not in rows_of(fewer)
    apart = [record for record in records() if record.spec.seed == record.spec.data["seed"]]
    assert over_worlds(compute_standings(apart), "lora") == [], "no seed is in two worlds"


@pytest.mark.parametrize("seeds", [(7,), (0,), (0, 7), (5, 6, 7, 8, 9)], ids=str)
def test_a_world_with_too_few_seeds_of_the_rest_is_left_out_with_a_note(seeds):
    measured = records()
    odd = [run_in_world(method, "ave", 9, seed, 60.0) for method in ("cola", "lora") for seed in seeds]
    usual, rows = rows_of(measured), rows_of([*measured, *odd])
    assert rows == {label: dataclasses.replace(row, left_out=(9,)) for label, row in usual.items()}
    standings = compute_standings([*measured, *odd])
    (item,) = over_worlds(standings, "lora")
    assert item.worlds == (0, 1, 2)
    note = "Worlds left out because they share too few seeds with the rest: 9 (cola, lora)."
    assert note in leaderboard(standings) and note in page(standings)
    comparison = compare([*measured, *odd], "cola", "lora")
    assert note in str(comparison) and comparison.over_worlds[0].gain == usual["cola"].gain
    for text in (leaderboard(compute_standings(measured)), str(compare(measured, "cola", "lora"))):
        assert "left out because" not in text


def test_with_too_few_seeds_a_world_with_others_does_not_take_them_away():
    measured = [*records(seeds=2), *(run_in_world(method, "ave", 9, 7, 60.0) for method in ("cola", "lora"))]
    row = rows_of(measured)["cola"]
    assert (row.worlds, row.seeds, row.gain.verdict, row.left_out) == ((0, 1, 2), 2, "too few seeds", (9,))


def test_a_gain_leaves_out_worlds_in_which_only_one_of_both_has_other_seeds():
    measured = records(worlds=4, gain=lambda task, world, seed: GAINS[world % 3][seed])
    odd = [run_in_world("lora", "ave", 3, seed, 60.0) for seed in (3, 4, 5)]
    apart = [r for r in measured if (r.spec.method, r.spec.data["seed"]) != ("lora", 3)]
    rows = rows_of([*apart, *odd])
    assert (rows["cola"].worlds, rows["cola"].left_out) == ((0, 1, 2, 3), (3,))
    assert rows["cola"].gain == rows_of(records())["cola"].gain
    assert (rows["lora"].worlds, rows["lora"].left_out) == ((0, 1, 2), (3,))


def test_the_mean_over_tasks_weighs_families_alike_and_comes_first():
    tasks = ("ave", "refcoco", "refcocog")
    of_task = {"ave": 6.0, "refcoco": 1.0, "refcocog": 3.0}
    measured = records(lambda task, world, seed: of_task[task] + GAINS[world][seed], tasks=tasks)
    only_one = run_in_world("head", "ave", 0, 0, 40.0)
    (item,) = over_worlds(compute_standings([*measured, only_one, run_in_world("head", "ave", 1, 0, 40.0)]), "lora")
    assert [table.task for table in item.tables] == [ALL_TASKS, *tasks]
    labels = [[row.label for row in table.rows] for table in item.tables]
    assert labels[1] == ["cola", "lora", "head"] and {*map(tuple, labels[:1] + labels[2:])} == {("cola", "lora")}
    mean = np.mean(GAINS) + (6 + (1 + 3) / 2) / 2
    assert item.tables[0].rows[0].gain.points == pytest.approx(mean)
    assert item.worlds == (0, 1, 2)


def test_scripts_compare_records_by_the_same_estimate():
    tasks = ("ave", "refcoco", "refcocog")
    measured = records(lambda task, world, seed: len(task) + GAINS[world][seed], tasks=tasks)
    cola, lora = ([record for record in measured if record.spec.method == method] for method in ("cola", "lora"))
    gain = rows_of(measured, ALL_TASKS)["cola"].gain
    estimate = difference_over_worlds(cola, lora)
    assert (estimate.mean, estimate.p_value()) == pytest.approx((gain.points, gain.p))
    assert estimate.interval() == pytest.approx(bounds(gain.interval))
    assert difference_over_worlds(cola, [record for record in lora if record.spec.data["seed"] == 1]) is None


def test_verdicts_are_corrected_over_the_methods_of_a_table():
    measured = records(lambda task, world, seed: 2.0 + 0.1 * seed)
    dora = [dataclasses.replace(r, spec=dataclasses.replace(r.spec, method="dora")) for r in measured[9:]]
    rows = rows_of([*measured, *dora])
    assert rows["cola"].gain.p_holm == pytest.approx(2 * rows["cola"].gain.p)


def test_all_forms_of_the_leaderboard_have_the_table_and_the_tables_of_each_world_stay():
    measured = records(tasks=("ave", "avs"))
    standings = compute_standings(measured)
    text, markup = leaderboard(standings), page(standings)
    title = "Over worlds: suite mini, generated data v1 (worlds 0, 1, 2), not the benchmark's own"
    assert f"\n## {title}\n" in text and f"<h2>{title}</h2>" in markup
    table = text.partition(f"## {title}")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    gain = rows_of(measured)["cola"].gain
    interval = f"{gain.interval.low:+.2f} to {gain.interval.high:+.2f}"
    ave = next(line for line in lines if line[:2] == ["cola", "ave accuracy"])
    assert ave[2] == "58.49" and ave[4:8] == ["3", "3", f"{gain.points:+.2f}", interval]
    assert ave[-1] == "undecided" and [line[1] for line in lines if line[0] == "cola"] == [
        *(ALL_TASKS, "ave accuracy", "avs miou"),
    ]
    assert interval in markup
    first = compute_standings([record for record in measured if record.spec.data["seed"] == 0])
    of_world_0 = leaderboard(first).partition("## Suite")[2].strip()
    assert of_world_0 in text and "Over worlds" not in leaderboard(first) + page(first)


def test_compare_has_it_too():
    measured = records(tasks=("ave", "avs"))
    comparison = compare(measured, "cola", "lora")
    assert [entry.task for entry in comparison.over_worlds] == [ALL_TASKS, "ave", "avs"]
    assert comparison.over_worlds[1].gain == rows_of(measured)["cola"].gain
    lines = [line.split() for line in str(comparison).splitlines()]
    assert ["over", "worlds:", "suite", "mini,"] in [line[:4] for line in lines]
    assert NONE not in str(comparison) and "A world is the data drawn with another seed" in str(comparison)
    assert compare([r for r in measured if r.spec.data["seed"] == 0], "cola", "lora").over_worlds == []
