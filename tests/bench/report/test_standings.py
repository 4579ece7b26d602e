from __future__ import annotations

import dataclasses

import mocks
import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from bench.config.spec import Spec
from bench.records import sample_scores
from bench.report.standings import compute_standings

METHODS = ("lora", "cola", "dora", "head")
RECIPE = {"lr_adapter": 1e-3, "lr_head": 1e-3, "epochs": 2}
DATA = {"source": "generated", "version": 1, "seed": 0}


def record(method, score, seed, task="ave"):
    spec = Spec("mock", task, method, seed, {"r": 4}, {}, RECIPE, {"vision": {"model": "v"}}, DATA)
    return mocks.record(spec, float(score))


def records(scores, tasks=("ave",)):
    """Records of scores (tasks, methods, seeds)."""
    return [
        record(method, score, seed, task)
        for task, of_task in zip(tasks, scores, strict=True)
        for method, seed_scores in zip(METHODS, of_task, strict=False)
        for seed, score in enumerate(seed_scores)
    ]


def standings(scores, results=None):
    (standings,) = compute_standings(records([scores]), results)
    return {standing.row.label: standing for standing in standings.tasks[0].standings}


def gains_of(records, results=None):
    """The gains on the only task, in the order of its table."""
    (section,) = compute_standings(records, results)
    return [standing.gain for standing in section.tasks[0].standings]


def save_records(scores, results):
    """Keeps scores (methods, seeds, samples) beside records whose scores are their means."""
    saved = records([scores.mean(2)])
    for record in saved:
        per_sample = scores[METHODS.index(record.spec.method), record.spec.seed]
        sample_scores.save(
            {"testA": {"accuracy": per_sample[:40]}, "testB": {"accuracy": per_sample[40:]}}, results, record.stem
        )
    return saved


def test_three_seeds_of_four_methods_on_two_tasks_agree_with_an_independent_computation():
    scores = 60 + np.random.default_rng(0).normal(0, 2, (2, 4, 3)) + np.arange(4)[None, :, None]
    (standings,) = compute_standings(records(scores, ("ave", "avs")))
    for task, of_task in zip(standings.tasks, scores, strict=True):
        by_label = {standing.row.label: standing for standing in task.standings}
        lora = of_task[0]
        p_values = [scipy.stats.ttest_rel(seed_scores, lora).pvalue for seed_scores in of_task[1:]]
        corrected = multipletests(p_values, method="holm")[1]
        for index, method in enumerate(METHODS):
            method_scores, gain = of_task[index], by_label[method].gain
            expected = scipy.stats.t.interval(0.95, 2, method_scores.mean(), scipy.stats.sem(method_scores))
            assert dataclasses.astuple(by_label[method].interval) == pytest.approx(expected)
            assert by_label[method].deviation == pytest.approx(method_scores.std(ddof=1))
            if not index:
                assert gain is None
                continue
            paired = scipy.stats.ttest_rel(method_scores, lora)
            assert gain.points == pytest.approx(method_scores.mean() - lora.mean())
            assert gain.percent == pytest.approx(100 * (method_scores.mean() / lora.mean() - 1))
            assert dataclasses.astuple(gain.interval) == pytest.approx(tuple(paired.confidence_interval(0.95)))
            assert gain.p_holm == pytest.approx(corrected[index - 1])
    mean_ranks = scipy.stats.rankdata(-scores.mean(2), axis=1).mean(0)
    assert {rank.label: rank.mean for rank in standings.ranks} == pytest.approx(
        dict(zip(METHODS, mean_ranks, strict=True))
    )


def test_equal_distributions_are_rarely_told_apart():
    rng = np.random.default_rng(5)
    better = 0
    for _ in range(400):
        seeds = rng.normal(0, 1, (1, 5))  # what runs of one seed share
        better += standings(70 + seeds + rng.normal(0, 1, (2, 5)))["cola"].gain.verdict == "better"
    assert better < 26


def test_nor_is_one_of_several_methods():
    rng = np.random.default_rng(6)
    draws = [standings(70 + rng.normal(0, 1, (4, 5))).values() for _ in range(400)]
    assert sum(any(standing.gain and standing.gain.verdict == "better" for standing in draw) for draw in draws) < 32


def test_a_gain_of_two_standard_deviations_of_the_differences_is_found_with_five_seeds():
    rng = np.random.default_rng(7)
    detected = 0
    for _ in range(400):
        lora = rng.normal(70, 3, 5)
        detected += standings([lora, lora + rng.normal(2, 1, 5)])["cola"].gain.verdict == "better"
    assert detected > 320


def test_methods_indistinguishable_from_the_best_share_its_rank():
    by_label = standings([[70, 71, 72, 71], [80, 81, 82, 81.5], [80.1, 80.9, 82.2, 81.2], [60, 61, 62, 61.5]])
    places = {label: (standing.place, standing.tied) for label, standing in by_label.items()}
    assert places == {"cola": (1, True), "dora": (1, True), "lora": (3, False), "head": (4, False)}
    assert by_label["head"].gain.verdict == "worse"


def test_a_single_best_method_is_not_tied():
    by_label = standings([[70, 71, 72, 71], [80, 81, 82, 81.5]])
    assert (by_label["cola"].place, by_label["cola"].tied) == (1, False)


def test_with_two_seeds_there_is_no_place_no_interval_and_no_verdict():
    """However far the means are apart: two seeds say next to nothing of how much others would differ."""
    by_label = standings([[70, 71, 72, 71], [80, 81, 82, 81.5], [20, 20.1], [90.0]])
    assert [by_label[label].place for label in ("cola", "lora", "dora", "head")] == [1, 2, None, None]
    assert not any(standing.tied for standing in by_label.values())
    for label in ("dora", "head"):
        assert (by_label[label].interval, by_label[label].gain.interval, by_label[label].gain.p) == (None, None, None)
        assert by_label[label].gain.verdict == "too few seeds"


def test_a_method_that_shares_too_few_seeds_with_the_best_has_no_place():
    scores = [record("cola", score, seed) for seed, score in enumerate([80, 81, 82])]
    scores += [record("dora", score, seed) for seed, score in enumerate([70, 71, 70.5], start=2)]
    (section,) = compute_standings(scores)
    assert {standing.row.label: standing.place for standing in section.tasks[0].standings} == {"cola": 1, "dora": None}


def test_the_mean_gain_over_tasks_is_over_their_samples_too(tmp_path):
    """The samples of several tasks are independent, so their mean is known better than each."""
    rng = np.random.default_rng(3)
    both = {}
    for task in ("ave", "avs"):
        shared = rng.normal(50, 20, (1, 1, 60)).repeat(5, 1)
        scores = np.concatenate([shared, shared + 3 + rng.normal(0, 15, 60)]) + rng.normal(0, 0.5, (2, 5, 60))
        for record in records([scores.mean(2)], (task,)):
            values = scores[METHODS.index(record.spec.method), record.spec.seed]
            sample_scores.save({"test": {record.scores.metric: values}}, tmp_path, record.stem)
            both[record.id] = record
    (section,) = compute_standings(both.values(), tmp_path)
    (mean,) = section.mean_gains.values()
    single = [standing.gain for task in section.tasks for standing in task.standings if standing.gain]

    def width(gain):
        return gain.interval.high - gain.interval.low

    assert mean.with_samples and mean.points == pytest.approx(np.mean([gain.points for gain in single]))
    assert width(mean) == pytest.approx(np.hypot(*map(width, single)) / 2, rel=0.1)


def test_tasks_of_one_family_weigh_as_one_in_means():
    """Ranks on ave: cola 1, lora 2; on the three of grounding the other way round."""
    gain_of_task = {"ave": 6.0, "refcoco": -1.0, "refcoco_plus": -2.0, "refcoco+refcoco_plus:box": -3.0}
    scores = [
        record(method, 70 + seed + gain * (method == "cola"), seed, task)
        for task, gain in gain_of_task.items()
        for method in ("lora", "cola")
        for seed in range(3)
    ]
    (section,) = compute_standings(scores)
    assert section.mean_gains["cola"].points == pytest.approx((6 - 2) / 2)
    assert section.mean_gains["cola"].percent == pytest.approx(100 * 2 / 71)
    assert section.mean_scores["cola"].mean == pytest.approx(73)
    assert {rank.label: rank.mean for rank in section.ranks} == {"lora": 1.5, "cola": 1.5}
    assert all(dataclasses.astuple(rank.interval) == pytest.approx((1.5, 1.5)) for rank in section.ranks)


def test_gains_over_each_row_are_those_with_it_as_the_reference(tmp_path):
    scores = 60 + np.random.default_rng(4).normal(0, 2, (2, 3, 4)) + np.arange(3)[None, :, None]
    both = records(scores, ("ave", "avs"))
    (section,) = compute_standings(both, each_reference=True)
    assert set(section.tasks[0].gains) == set(section.mean_gains_of_each) == set(METHODS[:3])
    for reference in METHODS[:3]:
        (expected,) = compute_standings(both, reference=reference)
        assert section.mean_gains_of_each[reference] == expected.mean_gains
        for task, of_reference in zip(section.tasks, expected.tasks, strict=True):
            gains = {standing.row.label: standing.gain for standing in of_reference.standings if standing.gain}
            assert task.gains[reference] == gains
    (without,) = compute_standings(both)
    assert not without.tasks[0].gains and not without.mean_gains_of_each


def test_a_table_of_many_rows_has_gains_over_the_reference_only(monkeypatch):
    monkeypatch.setattr("bench.report.standings._MOST_REFERENCES", 2)
    (section,) = compute_standings(records([[[70, 71], [75, 76], [60, 61]]]), each_reference=True)
    assert section.tasks[0].gains == {} and section.tasks[0].standings[0].gain


def test_only_seeds_that_both_have_are_compared():
    unpaired = [*records([[[70, 71, 72], [75, 76, 77]]]), record("cola", 10.0, 9)]
    (standings,) = compute_standings(unpaired)
    gain = next(standing.gain for standing in standings.tasks[0].standings if standing.row.label == "cola")
    assert (gain.seeds, gain.points) == (3, 5.0)


def test_scores_of_samples_that_are_not_the_records_are_left_out(tmp_path, caplog):
    """As those of another run under its name."""
    saved = save_records(np.random.default_rng(0).uniform(0, 100, (2, 3, 80)), tmp_path)
    assert gains_of(saved, tmp_path) != (before := gains_of(saved)) and not caplog.messages
    path = sample_scores.save({"test": {"accuracy": np.full(80, 1.0)}}, tmp_path, saved[0].stem)
    assert gains_of(saved, tmp_path) == before
    (message,) = caplog.messages
    assert message.startswith(f"left out: the mean of the per-sample scores in {path} is 1.0000, but the record has ")


def test_no_gains_without_lora_nor_percent_of_nothing():
    (section,) = compute_standings([record("cola", 70, 0)])
    assert section.tasks[0].standings[0].gain is None
    assert standings([[0.0], [5.0]])["cola"].gain.percent is None


def test_gains_are_over_lora_with_its_usual_settings():
    variant = record("lora", 90.0, 0)
    variant = dataclasses.replace(variant, spec=dataclasses.replace(variant.spec, settings={"r": 54}), id="other")
    (standings,) = compute_standings([*records([[[70, 71], [75, 76]]]), variant])
    gains = {standing.row.label: standing.gain for standing in standings.tasks[0].standings}
    assert gains["lora"] is None
    assert gains["cola"].points == 5.0
    assert gains["lora (r=54)"].points == 20.0


def test_scores_of_samples_widen_the_interval_and_can_undo_a_verdict(tmp_path):
    rng = np.random.default_rng(8)
    shared = rng.normal(50, 20, (1, 1, 60))
    gains = rng.normal(2, 15, 60)  # a few samples have the gain: others might not
    scores = np.concatenate([shared.repeat(5, 1), shared.repeat(5, 1) + gains]) + rng.normal(0, 0.5, (2, 5, 60))
    saved = save_records(scores, tmp_path)
    without, with_samples = (
        {standing.row.label: standing.gain for standing in compute_standings(saved, results)[0].tasks[0].standings}[
            "cola"
        ]
        for results in (None, tmp_path)
    )
    assert without.verdict == "better"
    assert not without.with_samples and with_samples.with_samples
    assert with_samples.verdict == "undecided"
    assert with_samples.interval.low < 0 < with_samples.interval.high
    assert with_samples.interval.high - with_samples.interval.low == pytest.approx(
        2 * 1.96 * gains.std() / np.sqrt(60), rel=0.15
    )


def test_scores_of_samples_are_left_out_where_some_are_missing_or_of_other_data(tmp_path, caplog):
    scores = np.random.default_rng(9).normal(50, 5, (2, 3, 60))
    saved = save_records(scores, tmp_path)
    path = tmp_path / "records" / f"{saved[0].stem}.npz"
    path.write_bytes(path.read_bytes()[:40])
    before = gains_of(saved)
    assert gains_of(saved, tmp_path) == before
    assert f"{saved[0].stem}.npz: " in caplog.text
    path.unlink()
    assert gains_of(saved, tmp_path) == before
    sample_scores.save({"test": {"accuracy": scores[0, 0]}}, tmp_path, saved[0].stem)
    assert all(gain is None or gain.with_samples for gain in gains_of(saved, tmp_path))


def test_ranks_have_intervals_over_seeds():
    scores = 60 + np.random.default_rng(10).normal(0, 1, (2, 3, 6)) + np.array([0, 0.2, 9])[None, :, None]
    (standings,) = compute_standings(records(scores, ("ave", "avs")))
    ranks = {rank.label: rank for rank in standings.ranks}
    assert standings.ranks[0].label == "dora"
    assert dataclasses.astuple(ranks["dora"].interval) == (1.0, 1.0)
    assert ranks["lora"].interval.low < ranks["lora"].interval.high


def test_no_ranks_over_one_task():
    assert compute_standings(records([[[70, 71], [75, 76]]]))[0].ranks == []
