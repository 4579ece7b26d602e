"""Records are found by the experiment's stages and labels, and compared by test split too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_standings
import mocks
import numpy as np
import pytest

from bench.config.tuned_settings import Tuning, write_tuned
from bench.errors import BenchError, UsageError
from bench.records import sample_scores, store
from bench.records.schema import Code, Provenance
from bench.report.finding.comparisons import Question, over_splits
from bench.report.finding.measured import Measured, check_data, check_scoring, planned

EXPERIMENT = """
suite = "mini"
tasks = ["ave", "avs"]
seeds = [0, 1]
settings = "tuned.toml"

[[stages]]
name = "main"
methods = ["head", "lora"]

[[stages]]
name = "budget"
tasks = ["ave"]
settings = "tuned-size.toml"
[stages.variations.lora-cola-size]
method = "lora"
budget = "cola"
"""
RATE = 0.00123


@pytest.fixture
def experiment(tmp_path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT)
    return path


def tune(path: Path, task: str = "ave", budget: str = "none") -> None:
    tuning = Tuning(suite="mini", trials=1, epochs="suite", seeds=(100,), set=(), budget=budget, date="", version="")
    write_tuned(path, tuning, {(task, "lora"): {"lr_adapter": RATE}}, {(task, "lora"): "made up"})


def test_runs_whose_rates_are_not_tuned_yet_are_not_planned(experiment):
    assert planned(experiment)["main"] == {(t, m): {} for t in ("ave", "avs") for m in ("head", "lora")}
    tune(experiment.with_name("tuned.toml"))
    stages = planned(experiment)
    assert stages["budget"] == {("ave", "lora-cola-size"): {}}, "the other file is missing still"
    assert [spec.recipe["lr_adapter"] for spec in stages["main"]["ave", "lora"].values()] == [RATE] * 2
    record = mocks.record(stages["main"]["ave", "lora"][1])
    runs = Measured([record], stages).runs("main", "budget")
    assert runs["ave", "lora"] == {1: record} and not runs["ave", "lora-cola-size"]
    tune(experiment.with_name("tuned-size.toml"), budget="cola")
    assert planned(experiment)["budget"]["ave", "lora-cola-size"][0].settings["r"] > 4


def test_mistakes_of_an_experiment_are_told(experiment):
    experiment.write_text(EXPERIMENT.replace('"head", "lora"', '"head", "loro"'))
    with pytest.raises(UsageError, match="loro"):
        planned(experiment)


def test_encoders_of_an_experiment_need_not_be_there(experiment, monkeypatch):
    """Specifications name them as the records do, which are made where they are, from the checkout."""
    for file, budget in (("tuned.toml", "none"), ("tuned-size.toml", "cola")):
        tune(experiment.with_name(file), budget=budget)
    usual = planned(experiment)
    text = EXPERIMENT.replace("seeds =", 'set.vision.model = "./encoders/vision"\nseeds =')
    experiment.write_text(text)
    monkeypatch.chdir(experiment.parent.parent)
    stages = planned(Path(experiment.parent.name, experiment.name))
    for stage, key in (("main", ("ave", "lora")), ("budget", ("ave", "lora-cola-size"))):
        spec = stages[stage][key][0]
        assert spec.streams["vision"]["model"] == f"{experiment.parent.name}/encoders/vision"
        assert spec.settings == usual[stage][key][0].settings
        assert spec.streams["audio"] == usual[stage][key][0].streams["audio"]


def test_records_of_different_data_are_not_compared():
    first, *remaining = (mocks.record(made_standings.spec("lora", seed=seed)) for seed in range(3))
    second_world = replace(first.spec, data={**first.spec.data, "seed": 1})
    another = replace(first, spec=second_world, data=replace(first.data, fingerprint="other"))
    check_data([first, *remaining, another])
    for change in ({"fingerprint": "other"}, {"skipped": 1}):
        with pytest.raises(BenchError, match=f"records of {first.spec.task} have different data"):
            check_data([replace(first, data=replace(first.data, **change)), *remaining])


def test_each_kind_of_data_is_compared_with_itself_and_only_records_that_are_planned():
    """A control run is fed fewer streams of the same data; spoken names are other data than calls."""
    spec = made_standings.spec("lora")
    calls = {"source": "composed", "version": 4, "seed": 0}
    first, control, names, official = (
        mocks.record(replace(spec, data=data))
        for data in (calls, {**calls, "streams": ["audio"]}, {**calls, "sounds": "names"}, {"source": "official"})
    )

    def with_files(record, fingerprint):
        return replace(record, data=replace(record.data, fingerprint=fingerprint))

    check_data([first, control, with_files(names, "of names"), with_files(official, "of a release")])
    for record in (first, names, official):
        with pytest.raises(BenchError, match="different data"):
            check_data([record, control, with_files(record, "altered")])
    with pytest.raises(BenchError, match="different data"):
        check_data([first, with_files(control, "altered")])
    tried = with_files(mocks.record(replace(spec, seed=100)), "altered")
    stages = {"main": {("ave", "lora"): {0: spec}}}
    assert Measured([mocks.record(spec), tried], stages).runs("main") == {("ave", "lora"): {0: mocks.record(spec)}}
    with pytest.raises(BenchError, match="different data"):
        Measured([mocks.record(spec), tried], {"main": {("ave", "lora"): {0: spec, 100: tried.spec}}})


def test_records_of_a_task_by_different_scoring_rules_are_refused():
    code = Code("0" * 64, "crossmodal-bench", "1")
    specs = {method: {s: made_standings.spec(method, seed=s) for s in range(4)} for method in ("lora", "cola")}
    stages = {"main": {("ave", method): by_seed for method, by_seed in specs.items()}}
    old, new = ([mocks.record(spec) for spec in by_seed.values()] for by_seed in specs.values())
    rescored = [replace(record, provenance=Provenance(code, code, {}, scoring=2)) for record in new]
    assert Measured([*old, *new], stages).runs("main")["ave", "cola"].keys() == {0, 1, 2, 3}
    with pytest.raises(BenchError) as refused:
        Measured([*old, *rescored], stages)
    message = str(refused.value)
    assert "records of ave were scored by different rules and cannot be compared: 4 by rule 1, ave-lora-s0-" in message
    assert "; 4 by rule 2, ave-cola-s0-" in message and message.count(".json") == 6 and "bench run" in message
    another_task = [replace(record, spec=replace(record.spec, task="avs")) for record in rescored]
    check_scoring([*old, *another_task])


def test_a_test_split_is_compared_by_its_samples(tmp_path):
    """The two splits differ by 4 and by 0 points; all samples together do by 3."""
    rng = np.random.default_rng(0)
    for method, extra in (("lora", 0.0), ("cola", 4.0)):
        for seed in range(3):
            scores = {
                "testA": {"accuracy": 50 + rng.normal(size=30) / 2 + extra},
                "testB": {"accuracy": 20 + rng.normal(size=10) / 4},
            }
            record = mocks.record(made_standings.spec(method, seed=seed))
            means = {split: {"accuracy": float(values["accuracy"].mean())} for split, values in scores.items()}
            whole = float(np.concatenate([values["accuracy"] for values in scores.values()]).mean())
            means["val"] = {"accuracy": record.scores.validation[0].scores["accuracy"]}
            record = replace(record, scores=replace(record.scores, test={"accuracy": whole}, splits=means))
            stem = store.write(record, tmp_path).stem
            sample_scores.save(scores, tmp_path, stem)
    runs: dict = {}
    for record in store.read_all(tmp_path):
        runs.setdefault((record.spec.task, record.spec.method), {})[record.spec.seed] = record
    table = over_splits(Question("CoLA over LoRA", "cola", "lora"), runs, {"ave": ("testA", "testB", "testC")})
    assert table.missing == ("ave, testC",)
    on_known, on_new = table.rows["ave, testA"], table.rows["ave, testB"]
    assert on_known.mean_difference.mean == pytest.approx(4.0, abs=0.5) and on_known.mean_difference.with_samples
    assert on_new.mean_difference.mean == pytest.approx(0.0, abs=0.4) and on_new.mean_difference.with_samples
    assert (on_known.second, on_new.second) == pytest.approx((50.0, 20.0), abs=0.5)
    assert on_known.mean_difference.sample_variance != on_new.mean_difference.sample_variance
