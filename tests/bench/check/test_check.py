"""The regression check on made-up values: its margins, its baselines, and what it tells."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import mocks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench import cli
from bench.check import baseline as baselines
from bench.check.baseline import Cost, ReaderOutput, gather
from bench.check.compare import PEAK, STEP_BYTES, STEP_TIME, Row, compare, incomparable, spread
from bench.check.integrity import check_records
from bench.check.table import markdown, terminal, verdict
from bench.config.plan import RunRequest, make_plan
from bench.records import store

READER_OUTPUT = ReaderOutput(
    "abc", {"train": 90}, {"constant answer": 30.0}, {"train": "12ab"}, {"train.vision": 100.0}, 0, []
)
COST = Cost(time=1.2, low=1.1, high=1.3, bytes=1_000_000)


def record(spec, score=70.0, loss=0.5):
    """A finished run that holds all that a record must."""
    template = mocks.record(spec, score)
    curve = [replace(epoch, train_loss=loss) for epoch in template.scores.validation]
    splits = {"val": curve[0].scores, "test": template.scores.test}
    data = replace(template.data, counts={"train": 90, "val": 10, "test": 10})
    return replace(template, scores=replace(template.scores, validation=curve, splits=splits, repeated=0.0), data=data)


@pytest.fixture
def make_baseline(mock_suite):
    """Makes what is compared, of methods on AVE, from a table of scores: a row a method, a column a seed."""

    def make(scores, first_seed=0, cost=COST, **changes):
        seeds = range(first_seed, first_seed + len(scores[0]))
        plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"][: len(scores)], ["ave"], list(seeds)))
        table = dict(zip(("lora", "cola"), scores, strict=False))
        records = [record(spec, float(table[spec.method][spec.seed - first_seed])) for spec in plan]
        costs = {"ave": dict.fromkeys(table, cost)}
        return replace(gather(records, costs, {"ave": READER_OUTPUT}, mocks.ENVIRONMENT, "a processor"), **changes)

    return make


def failures(rows):
    return [(row.method, row.quantity) for row in rows if row.failed]


def test_equal_values_pass_and_the_margin_is_the_prediction_interval_of_the_formula(make_baseline):
    scores = [[70, 71, 72, 73, 74], [60, 62, 61, 63, 60]]
    rows = compare(make_baseline(scores), make_baseline([[72.0], [61.0]], first_seed=5), [])
    assert failures(rows) == []
    (row,) = [row for row in rows if (row.method, row.quantity) == ("cola", "test accuracy")]
    pooled = math.sqrt((np.var(scores[0], ddof=1) + np.var(scores[1], ddof=1)) / 2)
    tests = 3 * 5  # of both methods two scores on test, two on val, and the loss; and CoLA's gains over LoRA
    margin = stats.t.ppf(1 - 0.001 / tests / 2, 8) * pooled * math.sqrt(1 + 1 / 5)
    assert row.margin_used == pytest.approx(abs(61 - np.mean(scores[1])) / margin)
    assert row.allowed == f"±{margin:.3g}"


def test_the_gain_over_lora_by_the_same_seed_shows_what_the_spread_of_seeds_hides(make_baseline):
    lora = np.array([50.0, 60, 70, 80, 90])
    base = make_baseline([lora, lora + 2 + np.array([0.1, -0.1, 0.2, 0, -0.2])])
    rows = compare(base, make_baseline([[50.0], [49.0]], first_seed=5), [])
    assert failures(rows) == [
        ("cola", f"{score} over lora") for score in ("test accuracy", "test f1", "val accuracy", "val f1")
    ]
    assert failures(compare(base, make_baseline([[90.0], [92.1]], first_seed=5), [])) == []


def test_a_mean_of_several_seeds_has_a_smaller_margin(make_baseline):
    base = make_baseline([[70, 71, 72, 73, 74]])
    one, four = (compare(base, make_baseline([[75.0] * n], first_seed=5), []) for n in (1, 4))
    shares = [next(row.margin_used for row in rows if row.quantity == "test accuracy") for rows in (one, four)]
    assert shares[1] / shares[0] == pytest.approx(math.sqrt((1 + 1 / 5) / (1 / 4 + 1 / 5)))


def test_methods_that_differ_in_spread_are_not_pooled():
    quiet, loud = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02, 0.98], [1.0, 9.0, -7.0, 5.0, -3.0, 12.0, -11.0, 2.0]
    assert spread(quiet, [quiet, loud]) == (pytest.approx(np.std(quiet, ddof=1)), 7)
    assert spread(quiet, [quiet, quiet]) == (pytest.approx(np.std(quiet, ddof=1)), 14)


def test_unchanged_code_hardly_ever_fails_and_a_large_change_always_does():
    rng = np.random.default_rng(0)
    alarms = detections = 0
    for _ in range(150):
        base = _of_scores(rng.normal(50, 1, (2, 10)))
        fresh = rng.normal(50, 1, (2, 1))
        alarms += bool(failures(compare(base, _of_scores(fresh), [])))
        detections += bool(failures(compare(base, _of_scores(fresh - 9), [])))
    assert alarms <= 1  # a thousandth of them in the mean
    assert detections == 150


def _of_scores(table):
    return _of_methods(
        {
            name: baselines.MethodBaseline({}, {}, {"test": row}, {}, COST)
            for name, row in zip("ab", table.tolist(), strict=True)
        }
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 3), st.sampled_from(["train peak, median", "memory of a step, MB", "step time, lora is 1"]))
def test_costs_may_fall_and_may_rise_by_their_margin(ratio, quantity):
    margin = {"train peak, median": PEAK, "memory of a step, MB": STEP_BYTES, "step time, lora is 1": STEP_TIME}[
        quantity
    ]
    if abs(ratio - 1 - margin) < 1e-3:
        return
    base = _of_costs(1.0)
    assert (quantity in {key for _, key in failures(compare(base, _of_costs(ratio), []))}) == (ratio > 1 + margin)


def _of_costs(ratio):
    cost = Cost(1.2 * ratio, 1, 2, round(10**9 * ratio))
    return _of_methods({"cola": baselines.MethodBaseline({}, {}, {}, {"train peak": [round(10**9 * ratio)] * 3}, cost)})


def _of_methods(methods):
    return baselines.Baseline(
        1, "mock", [0, 1], "", mocks.ENVIRONMENT, "a processor", {"ave": baselines.TaskBaseline(READER_OUTPUT, methods)}
    )


def test_an_inequality_is_reported_by_its_key(make_baseline):
    base = make_baseline([[70.0, 71.0]])
    lora = base.tasks["ave"].methods["lora"]
    recipe = {**lora.spec["recipe"], "epochs": 9}
    changed = replace(lora, parameters={**lora.parameters, "no_gradient": 64}, spec={**lora.spec, "recipe": recipe})
    data = replace(READER_OUTPUT, counts={"train": 91}, inputs={"train.vision": 104.0})
    rows = compare(base, replace(base, tasks={"ave": baselines.TaskBaseline(data, {"lora": changed})}), [])
    assert {(row.method, row.quantity, row.baseline, row.fresh) for row in rows if row.failed} == {
        ("lora", "specification: recipe.epochs", "4", "9"),
        ("lora", "parameters: no_gradient", "0", "64"),
        ("", "samples: counts.train", "90", "91"),
        ("", "mean of train.vision", "100", "104"),
    }


def test_a_single_outlier_among_peaks_is_ignored_and_few_are_not_compared(make_baseline):
    base = _of_costs(1.0)
    for peaks, failed in (
        ([10**9, 10**9, 9 * 10**9], []),
        ([10**9, 2 * 10**9, 2 * 10**9], ["train peak, median"]),
        ([9 * 10**9], []),
    ):
        cola = replace(base.tasks["ave"].methods["cola"], memory={"train peak": peaks})
        assert [quantity for _, quantity in failures(compare(base, _of_methods({"cola": cola}), []))] == failed


@pytest.mark.parametrize(
    ("change", "skipped"),
    [
        ({}, {}),
        ({"processor": "other"}, {"peaks", "time"}),
        ({"environment": replace(mocks.ENVIRONMENT, threads=8)}, {"peaks"}),
        ({"environment": replace(mocks.ENVIRONMENT, jobs=8)}, {"peaks"}),
        ({"environment": replace(mocks.ENVIRONMENT, versions={"torch": "9"})}, {"peaks"}),
        ({"environment": replace(mocks.ENVIRONMENT, device="a GPU")}, {"peaks", "time", "bytes"}),
    ],
)
def test_values_that_depend_on_the_environment_are_not_compared(make_baseline, change, skipped):
    base, fresh = make_baseline([[70.0, 71.0]]), make_baseline([[70.0]], cost=Cost(9, 9, 9, 9_000_000), **change)
    assert incomparable(base, fresh).keys() == set(skipped)
    kinds = {row.kind for row in compare(base, fresh, incomparable(base, fresh))}
    assert "speed" not in kinds  # LoRA is what the others are compared with
    assert ("memory" in kinds) == ("bytes" not in skipped)


def test_a_baseline_is_read_back_as_it_was_written(make_baseline, tmp_path):
    base = make_baseline([[70.25, 71.5], [1 / 3, 2.0]])
    baselines.write(base, tmp_path / "new" / "baseline.json")
    assert baselines.read(tmp_path / "new" / "baseline.json") == base


def test_a_baseline_of_schema_1_stays_readable(make_baseline, tmp_path):
    base = make_baseline([[70.25, 71.5]])
    path = tmp_path / "baseline.json"
    baselines.write(base, path)
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 1').replace('"no_gradient"', '"idle"'))
    assert '"idle"' in path.read_text() and baselines.read(path) == base


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema=3), "schema is 3, and this version of bench reads up to 2"),
        (lambda c: c["tasks"]["ave"].pop("data"), r"missing required field `data` - at `\$.tasks\[...\]`"),
        (lambda c: c.update(seeds="0,1"), r"Expected `array`, got `str` - at `\$.seeds`"),
        (lambda c: c.update(seeds=[0]), "seeds has 1, but a spread needs at least 2"),
        (
            lambda c: c["tasks"]["ave"]["methods"]["lora"]["scores"]["train loss"].pop(),
            r"\$.tasks.ave.methods.lora.scores.train loss has 1 values for 2 seeds",
        ),
    ],
)
def test_a_broken_baseline_is_reported_with_its_file_and_key(make_baseline, tmp_path, change, message):
    path = tmp_path / "baseline.json"
    baselines.write(make_baseline([[70.0, 71.0]]), path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(baselines.BenchError, match=rf"{path} is not a readable baseline: .*{message}"):
        baselines.read(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_file_that_is_no_baseline_is_reported(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(baselines.BenchError, match=r"b\.json is not a readable baseline"):
        baselines.read(tmp_path / "b.json")


def _scores(**changes):
    return lambda record: replace(record, scores=replace(record.scores, **changes))


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        (_scores(best_epoch=2), "best epoch by the validation curve"),
        (_scores(splits={"val": {"accuracy": 1.0}, "test": {}}), "validation scores of epoch 1"),
        (_scores(repeated=0.25), "a validation sample scored again differs by"),
        (_scores(repeated=math.inf), "a validation sample scored again differs by"),
        (_scores(repeated=None), "a validation sample scored again differs by"),
        (
            lambda r: _scores(splits=dict.fromkeys(("val", "test"), r.scores.splits["val"]))(r),
            "validation scores are those of test",
        ),
        (lambda r: mocks.failed(r.spec), "run"),
        (_scores(test={"accuracy": math.nan}), "run"),
    ],
)
def test_the_integrity_of_a_record(mock_suite, change, quantity):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [3]))
    assert failures(check_records([record(spec)])) == []
    assert failures(check_records([change(record(spec))])) == [("lora", f"seed 3: {quantity}")]


def test_a_nan_metric_equals_itself_and_is_not_the_best(mock_suite):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [3]))
    template = record(spec)
    (first,) = template.scores.validation
    curve = [
        replace(first, scores={"accuracy": math.nan}),
        replace(first, epoch=2, scores=first.scores | {"f1": math.nan}),
    ]
    changed = _scores(validation=curve, best_epoch=2, splits={"val": first.scores | {"f1": float("nan")}})(template)
    assert failures(check_records([changed])) == []


def test_splits_of_unlike_sizes_may_have_equal_scores(mock_suite):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [3]))
    template = record(spec)
    equal = _scores(splits=dict.fromkeys(("val", "test"), template.scores.splits["val"]))(template)
    unlike = replace(equal, data=replace(equal.data, counts={"val": 10, "test": 11}))
    assert failures(check_records([unlike])) == []


def test_tables_show_failures_and_escape_markdown():
    rows = [
        Row("exact", "ave", "<script>", "parameters: no_gradient", "0", "64", "+64", "none", math.inf),
        Row("scores", "ave", "lora", "test accuracy", "70", "71", "+1", "±5", 0.2),
    ]
    table = terminal(rows)
    assert "FAILED" in table and "test accuracy  20%" in " ".join(table.split()).replace(
        "accuracy 20%", "accuracy  20%"
    )
    assert "FAILED" not in terminal(rows[1:]) and "ok" in terminal(rows[1:], show_all=True)
    assert verdict(rows) == "the check failed: 1 of 2 comparisons are outside their margins"
    text = markdown(rows, ["a | note"])
    assert "<script>" not in text and "&lt;script>" in text and "a \\| note" in text and "<details>" in text


@pytest.fixture
def bench_check(mock_suite, tmp_path, monkeypatch):
    """Runs `bench check` on made-up runs with the mock suite, in this folder."""
    state = SimpleNamespace(scores={}, done=[], cost=COST)

    def execute(spec, options):
        state.done.append(spec.label)
        noise = ((spec.seed * 37) % 11 - 5) / 5
        score = state.scores.get(spec.method, 70.0)
        return record(spec, score + noise) if score else mocks.failed(spec)

    monkeypatch.setattr("bench.execution.single_run.execute", execute)
    monkeypatch.setattr("bench.check.sanity_run.sanity_run", lambda spec, options: record(spec))
    monkeypatch.setattr("bench.check.reader_probe.probe", lambda spec, options: READER_OUTPUT)
    monkeypatch.setattr("bench.check.costs.costs_of", lambda specs, *_: {spec.method: state.cost for spec in specs})
    monkeypatch.chdir(tmp_path)

    def run(*more, methods="lora,cola"):
        arguments = ["--methods", methods, "--tasks", "ave", "--suite", str(mock_suite), "--jobs", "1"]
        return cli.main(["check", *arguments, *more])

    run.state = state
    return run


def test_a_check_passes_and_fails_with_the_scores(bench_check, tmp_path, capsys):
    assert bench_check("--update", "--seeds", "0-3") == 0
    assert (tmp_path / "results/mini/baseline.json").is_file()
    bench_check.state.done.clear()
    assert bench_check() == 0
    assert bench_check.state.done == ["ave lora seed 4", "ave cola seed 4"]
    assert "none outside its margin" in capsys.readouterr().out
    bench_check.state.scores["cola"] = 20.0
    assert bench_check("--report", "report.md") == 1
    assert "ave     cola      test accuracy" in capsys.readouterr().out
    report = (tmp_path / "report.md").read_text()
    assert report.startswith("### ❌ bench check\n") and "| ave    | cola     | test accuracy" in report


def test_runs_are_repeated_unless_resumed(bench_check):
    bench_check("--update", "--seeds", "0,1,2,3")
    bench_check.state.done.clear()
    bench_check("--update", "--seeds", "0,1,2,3,4", "--resume")
    assert bench_check.state.done == ["ave lora seed 4", "ave cola seed 4"]
    assert bench_check("--resume", "--seeds", "4") == 0
    assert len(bench_check.state.done) == 2
    assert bench_check("--seeds", "4") == 0
    assert len(bench_check.state.done) == 4


def test_a_run_that_fails_fails_the_check_and_writes_no_baseline(bench_check, tmp_path, capsys):
    bench_check("--update", "--seeds", "0,1")
    before = (tmp_path / "results/mini/baseline.json").read_text()
    bench_check.state.scores["cola"] = None
    assert bench_check() == 1
    assert "failed: the loss is not finite at step 3" in capsys.readouterr().out
    assert bench_check("--update", "--seeds", "0,1") == 1
    assert "no baseline is written" in capsys.readouterr().err
    assert (tmp_path / "results/mini/baseline.json").read_text() == before


def test_a_slower_method_fails_where_speed_can_be_compared(bench_check, capsys):
    bench_check("--update", "--seeds", "0,1,2")
    bench_check.state.cost = replace(COST, time=COST.time * 1.5)
    assert bench_check() == 1
    assert "step time, lora is 1" in capsys.readouterr().out


def test_a_method_is_compared_without_lora(bench_check):
    bench_check("--update", "--seeds", "0,1,2")
    assert bench_check(methods="cola") == 0


def test_requests_outside_the_baseline_are_reported(bench_check, capsys):
    assert bench_check("--baseline", "none.json") == 2
    assert "the baseline none.json does not exist: `bench check --update` writes one" in capsys.readouterr().err
    assert bench_check() == 2
    assert "results/mini/baseline.json is a baseline of suite check, not of mock" in capsys.readouterr().err
    bench_check("--update", "--seeds", "0,1", methods="lora")
    assert bench_check() == 2
    assert "has no cola on ave: leave it out" in capsys.readouterr().err
    assert bench_check("--update", "--seeds", "0") == 2
    assert "a baseline needs at least 2 seeds" in capsys.readouterr().err


def test_records_are_left_in_the_folder(bench_check, tmp_path):
    bench_check("--update", "--seeds", "0,1", "--results", "out")
    assert len(store.read_all(tmp_path / "out")) == 4
