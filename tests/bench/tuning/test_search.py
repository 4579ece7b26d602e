"""The search itself, with made-up runs: `mocks.trial` says what settings are good for."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace

import mocks
import pooled
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution

from bench import registry
from bench.config.plan import RunRequest, make_plan, with_values
from bench.config.run_options import RunOptions
from bench.errors import UsageError
from bench.execution import process_pool
from bench.execution.local_executor import LocalExecutor
from bench.methods.cola import CrossModal
from bench.methods.head import HeadOnly
from bench.methods.search_space import Choice, Range
from bench.records import store
from bench.tuning.search import searches, tune
from bench.tuning.search_space import Dimension


class Runs:
    """Stands for `bench.execution.single_run`: makes records up, and notes what was asked for."""

    def __init__(self):
        self.done = []
        self.options = []
        self.stop_after = None
        self.trial = mocks.trial

    def execute(self, spec, options):
        if len(self.done) == self.stop_after:
            raise KeyboardInterrupt
        self.done.append(spec)
        self.options.append(options)
        return self.trial(spec)


@pytest.fixture
def runs(monkeypatch):
    runs = Runs()
    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=runs.execute))
    return runs


@pytest.fixture
def planned(mock_suite):
    """Makes the runs with the suite's values."""

    def make(methods="lora cola", tasks="ave", seeds="0", *changes):
        return make_plan(RunRequest(str(mock_suite), methods.split(), tasks.split(), seeds.split(), changes))

    return make


@pytest.fixture
def add(monkeypatch):
    """Registers a made-up method."""

    def register(name, cls):
        monkeypatch.setitem(registry._added["methods"], name, cls)

    return register


@pytest.fixture
def search(tmp_path, runs):
    """Does all trials of a plan, in a folder, and returns the searches."""

    def do(plan, trials, folder="tuning", jobs=1, **options):
        result = searches(plan)
        list(tune(result, trials, tmp_path / folder, RunOptions(**options), LocalExecutor(jobs)))
        return result

    return do


def trials_of(result):
    return [search.trials for search in result]


def test_every_method_has_as_many_trials_epochs_and_seeds(search, planned, runs):
    plan = planned("lora cola", "ave avs", "0 1", "ave.epochs=2", "avs.epochs=3")
    result = search(plan, 7)
    assert [(s.task, s.method) for s in result] == [("ave", "lora"), ("ave", "cola"), ("avs", "lora"), ("avs", "cola")]
    assert {len(s.trials) for s in result} == {7}
    counts = Counter((spec.task, spec.method, spec.seed, spec.recipe["epochs"]) for spec in runs.done)
    assert counts == {
        (t, m, seed, e): 7 for t, e in (("ave", 2), ("avs", 3)) for m in ("lora", "cola") for seed in (0, 1)
    }
    assert [trial.number for trial in result[0].trials] == [*range(1, 8)]


def test_the_first_trial_has_the_suites_values_and_the_next_are_spread_alike(search, planned, runs):
    result = search(planned(), 5)
    assert runs.done[:2] == planned()
    values = [[trial.values["lr_adapter"] for trial in search.trials] for search in result]
    assert values[0] == values[1] == [1e-3, 3.16e-4, 3.16e-3, 1.78e-4, 1.78e-3]


def test_trials_on_other_samples_are_warned_of_once(search, planned, runs, caplog):
    search(planned(), 3, "alike")
    assert not caplog.messages

    def trial(spec):
        record = mocks.trial(spec)
        fewer = spec.method == "cola" and len(runs.done) > 2
        return replace(record, data=replace(record.data, counts={"train": 89, "test": 10})) if fewer else record

    runs.done.clear()
    runs.trial = trial
    search(planned(), 3)
    (message,) = caplog.messages
    assert message.startswith("trials of cola on ave had different code, encoders or data")


def test_a_trial_scores_the_mean_over_seeds_of_the_best_epoch(search, planned):
    (result,) = search(planned("lora", "ave", "0 1 2"), 1)
    assert result.trials[0].score == pytest.approx(70 - 20 * math.log10(1e-3 / 3e-4) - 1)
    assert result.trials[0].metric == "accuracy"


def test_an_epoch_whose_score_is_no_number_does_not_fail_a_trial(search, planned, runs):
    def first_epoch_without_score(spec):
        record = mocks.trial(spec)
        first, *later = record.scores.validation
        first = dataclasses.replace(first, scores={"accuracy": math.nan})
        return dataclasses.replace(record, scores=dataclasses.replace(record.scores, validation=[first, *later]))

    runs.trial = first_epoch_without_score
    (result,) = search(planned("lora"), 1)
    assert result.trials[0].score == pytest.approx(70 - 20 * math.log10(1e-3 / 3e-4))


def test_tuning_finds_better_than_the_suite_and_never_worse(search, planned, runs):
    (result,) = search(planned("lora"), 12)
    assert result.best.score > 69 and result.best.score > result.trials[0].score
    assert result.best.values["lr_adapter"] == pytest.approx(3e-4, rel=0.2)
    learned = [trial.score or 0 for trial in result.trials[5:]]
    assert max(learned) > 60 and min(d.recipe["lr_adapter"] for d in runs.done) >= 1e-4
    ulps = iter([0.0, 1e-13, 2e-13, 0.0, 1e-13, 3e-13])
    runs.trial = lambda spec: mocks.record(spec, 70.0 + next(ulps))  # all equal, but for rounding
    (result,) = search(planned("lora"), 6, "equal")
    assert result.best is result.trials[0]


def test_only_validation_scores_count_and_no_test_split_is_scored(search, planned, runs, tmp_path):
    search(planned(), 2, data_root=tmp_path, results=tmp_path / "out", save_adapters=True)
    assert {(o.validate_only, o.results, o.save_adapters, o.data_root) for o in runs.options} == {
        (True, None, False, tmp_path)
    }

    def tested(spec):
        """A run that is best on test where it is worst on validation."""
        record = mocks.trial(spec)
        return record.scores and replace(
            record, scores=replace(record.scores, test={"accuracy": -record.scores.validation[1].scores["accuracy"]})
        )

    plain = trials_of(search(planned("lora"), 4, "plain"))
    runs.trial = tested
    assert trials_of(search(planned("lora"), 4, "tested")) == plain


def test_trials_are_in_no_leaderboard(search, planned, tmp_path):
    search(planned(), 3)
    paths = sorted((tmp_path / "tuning" / "records").glob("*.json"))
    assert len(paths) == 6
    assert {store.read(path).scores.validation[1].epoch for path in paths} == {2}
    assert store.read_all(tmp_path / "tuning") == store.read_all(tmp_path) == []


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 7, 20, 27])
def test_a_killed_search_continues_with_the_same_trials(search, planned, runs, stop_after):
    plan = planned("lora cola", "ave", "0 1")
    whole = trials_of(search(plan, 7, "whole"))
    all_runs, runs.done = runs.done, []
    runs.stop_after = stop_after
    with pytest.raises(KeyboardInterrupt):
        search(plan, 7)
    runs.stop_after = None
    assert trials_of(search(plan, 7)) == whole
    assert runs.done == all_runs, "each run once, in the same order"
    assert trials_of(search(plan, 7)) == whole and len(runs.done) == 28, "and nothing is left to do"


def test_a_longer_search_continues_a_shorter_one(search, planned, runs):
    few = trials_of(search(planned(), 6))
    more = trials_of(search(planned(), 9))
    assert [trials[:6] for trials in more] == few
    assert len(runs.done) == 2 * 9


def test_jobs_do_not_alter_the_results(search, planned, runs, monkeypatch, tmp_path):
    monkeypatch.setattr(process_pool, "execute_run", pooled.tried)
    monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
    plan = planned("lora cola", "ave", "0 1")
    serial = trials_of(search(plan, 2, "alone"))
    runs.done.clear()
    assert trials_of(search(plan, 2, "side_by_side", jobs=3)) == serial
    assert not runs.done, "they were done in other processes"
    names = [{path.name for path in (tmp_path / folder / "records").iterdir()} for folder in ("alone", "side_by_side")]
    assert names[0] == names[1] and len(names[0]) == 8


def test_methods_do_not_alter_one_anothers_trials(search, planned):
    joint = trials_of(search(planned("lora cola", "ave avs"), 7, "together"))
    assert [trials_of(search(planned(m, t), 7, m + t))[0] for t in ("ave", "avs") for m in ("lora", "cola")] == joint


def test_a_trial_that_fails_counts_as_one_and_as_the_worst(search, planned):
    (result,) = search(planned("lora", "ave", "1 0", "train.lr_adapter=3e-3"), 9)
    rates = [trial.values["lr_adapter"] for trial in result.trials]
    assert [trial.score is None for trial in result.trials] == [rate > 6e-3 for rate in rates]
    assert result.failed == sum(rate > 6e-3 for rate in rates) >= 2 and len(result.trials) == 9
    failed = next(trial for trial in result.trials if trial.score is None)
    assert failed.reason == "seed 1: the loss is not finite at step 3"
    assert result.best.score is not None


@pytest.mark.parametrize("broken", ["one seed", "not a number", "all"])
def test_a_nan_score_fails_its_trial(search, planned, runs, broken):
    def trial(spec):
        record = mocks.trial(spec)
        if broken == "not a number":
            curve = [replace(entry, scores={"accuracy": math.nan}) for entry in record.scores.validation]
            return replace(record, scores=replace(record.scores, validation=curve))
        return mocks.failed(spec) if broken == "all" or spec.seed == 1 else record

    runs.trial = trial
    (result,) = search(planned("lora", "ave", "0 1"), 2)
    assert result.best is None and result.failed == 2
    message = {
        "one seed": "seed 1: the loss",
        "all": "seed 0: the loss",
        "not a number": "seed 0: its validation score is",
    }
    assert result.trials[0].reason.startswith(message[broken])


@dataclass
class Wide(mocks.LoRA):
    """Searches settings of every kind."""

    mode: str = "a"
    paths: tuple[str, ...] = ("x", "y")
    share: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if self.mode == "c" and self.r > 16:
            raise ValueError("no mode c with such an r")

    @property
    def search(self):
        return {
            "r": Range(0.25, 4),
            "mode": Choice(("b", "c", "a")),
            "paths": Choice((["x"], ["y"])),
            "share": Range(0.5, 2, log=False),
            "lr_head": Range(),
        }


def test_settings_of_every_kind(search, planned, add, runs):
    add("wide", Wide)
    (result,) = search(planned("wide"), 25)
    assert result.trials[0].values == {"r": 16, "mode": "a", "paths": ["x", "y"], "share": 0.5, "lr_head": 2e-3}
    values = [trial.values for trial in result.trials]
    assert all(isinstance(v["r"], int) and 4 <= v["r"] <= 64 and 0.25 <= v["share"] <= 1 for v in values)
    assert all(2e-4 <= v["lr_head"] <= 2e-2 for v in values)
    assert {v["mode"] for v in values} == {"a", "b", "c"}
    assert {tuple(v["paths"]) for v in values} == {("x", "y"), ("x",), ("y",)}
    for spec in runs.done:
        (planned_alike,) = planned(
            "wide",
            "ave",
            "0",
            *(
                f"wide.{name}={value!r}".replace("'", '"')
                for name, value in spec.method_settings.items()
                if name in values[0]
            ),
        )
        assert planned_alike.id == spec.id, "as --set gives it"


def test_incompatible_values_fail_their_trial(search, planned, add, runs):
    add("wide", Wide)
    (result,) = search(planned("wide"), 25)
    refused = [trial for trial in result.trials if trial.values["mode"] == "c" and trial.values["r"] > 16]
    assert refused and {trial.reason for trial in refused} == {"wide: no mode c with such an r"}
    assert len(runs.done) == len({spec.id for spec in runs.done}) <= 25 - len(refused)


@dataclass
class Unset(mocks.CoLA):
    start: float | None = None


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"r": Choice((4, 0))}, "r must be at least 1, not 0"),
        ({"rr": Range()}, "wrong declares a search of rr, a setting that it does not have: did you mean r?"),
        ({"epochs": Range()}, "wrong declares a search of epochs, a setting that it does not have"),
        ({"start": Range()}, "a Range for start, which needs a value above 0 in the suite, not None"),
        ({"summary": Range()}, "a Range for summary, which needs a value above 0 in the suite, not cls"),
        ({"alpha": Choice(("much",))}, "wrong.alpha must be a finite number, not 'much'"),
        ({}, "wrong declares no settings to search"),
    ],
)
def test_impossible_searches_are_reported_before_any_run(planned, add, space, message):
    add("wrong", type("Wrong", (Unset,), {"search": space, "__module__": __name__}))
    with pytest.raises(UsageError) as raised:
        searches(planned("wrong"))
    (problem,) = raised.value.problems
    assert problem.startswith("`bench tune` on ave: ") and message in problem


@pytest.mark.parametrize("factors", [(0, 1), (1, 1), (2, 3), (0.1, 0.5), (-1, 2)])
def test_ranges_are_around_the_suites_value(factors):
    with pytest.raises(ValueError, match="0 < low <= 1 <= high"):
        Range(*factors)


ranges = st.tuples(st.floats(1e-6, 1e3), st.floats(0.01, 1), st.floats(1.01, 100), st.booleans(), st.floats(0, 1))


@given(ranges)
def test_numbers_stay_within_their_range(drawn):
    start, low, high, log, share = drawn
    real = Dimension("x", start, (), FloatDistribution(low * start, high * start, log=log))
    whole = Dimension("x", 5, (), IntDistribution(max(1, round(5 * low)), round(5 * high), log=log))
    for dimension in (real, whole):
        value = dimension.value(dimension.quantile(share))
        least, most = dimension.ends
        assert least * 0.99 <= value <= most * 1.01
        assert (share in (0, 1)) <= dimension.at_edge(value)
    assert float(f"{value:.3g}") == value or isinstance(value, int)


@pytest.mark.parametrize(
    ("value", "edge"),
    [(1e-4, True), (1.2e-4, True), (1.3e-4, False), (1e-3, False), (7.8e-3, False), (8e-3, True), (1e-2, True)],
)
def test_the_edge_of_a_range(planned, value, edge):
    (result,) = searches(planned("lora"))
    assert result.dimensions[0].at_edge(value) is edge
    assert result.dimensions[0].description == "lr_adapter from 0.0001 to 0.01 (log)"


def test_options_have_no_edge(planned, add):
    add("wide", Wide)
    (result,) = searches(planned("wide"))
    mode = next(dimension for dimension in result.dimensions if dimension.name == "mode")
    assert not mode.at_edge("a") and mode.description == "mode of a, b, c"


def test_what_the_methods_declare():
    assert mocks.LoRA().search == {"lr_adapter": Range(0.1, 10, log=True)}
    assert HeadOnly().search == {"lr_head": Range()}
    crossed = CrossModal.named("head")
    assert crossed().search == {"lr_adapter": Range(), "lr_head": Range()}
    assert CrossModal.named("lora")().search == {"lr_adapter": Range()}


def test_a_trials_spec_equals_the_planned_one(planned):
    (spec,) = planned("cola")
    assert with_values(spec, {}).id == spec.id
    changed = with_values(spec, {"lr_head": 1, "targets": ("q",), "alpha": 3})
    assert changed.id == planned("cola", "ave", "0", "cola.lr_head=1.0", "cola.targets=q", "cola.alpha=3")[0].id
    with pytest.raises(UsageError, match=r"unknown key cola\.rr"):
        with_values(spec, {"rr": 1})
