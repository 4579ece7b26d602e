"""Every field of every export and every tracked value, held against the training loop and the record.

What is expected is written down whole, so that a field that is added to an export fails here until it is checked too.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
import yaml
from expected_exports import assert_same, expected_peft, expected_row
from watched import RUNS, Ran, watch

from bench.config.run_options import RunOptions
from bench.records.environment import environment
from bench.report.export.write import export
from bench.training.evaluation import concatenate, score


@pytest.fixture(scope="module", params=RUNS)
def ran(request: pytest.FixtureRequest, options: RunOptions, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run, and what it left."""
    return watch(request.param, options, tmp_path_factory.mktemp("results"))


def test_the_loop_did_what_the_record_says(ran):
    record, scores, task, data = ran.record, ran.record.scores, ran.setup.task, ran.setup.data
    entries = [(entry.epoch, entry.step, entry.train_loss) for entry in scores.validation]
    assert entries == [(n, e["step"], pytest.approx(e["loss"], rel=1e-5)) for n, e in enumerate(ran.epochs, start=1)]
    assert {sum(step.parts) for step in ran.loop.did} <= {ran.setup.recipe.batch_size, len(data.datasets["train"]) % 4}
    measured = {}
    for split in ("val", *task.test_splits):
        measured[split], _ = score(ran.setup.model, task, data.datasets[split], ran.setup.recipe, ran.setup.accelerator)
        assert scores.splits[split] == pytest.approx(task.summarize(measured[split]), abs=1e-3)
    assert scores.splits["val"] == scores.validation[scores.best_epoch - 1].scores
    assert scores.test == pytest.approx(task.summarize(concatenate([measured[s] for s in task.test_splits])), abs=1e-3)
    assert scores.metric == task.metric and set(scores.test) == set(task.metrics)
    parameters, trained = record.parameters, ran.trained
    assert (parameters.adapter, parameters.head) == (trained["adapter"], trained["head"])
    assert parameters.trainable == sum(trained.values())
    assert parameters.total == sum(p.numel() for p in ran.setup.model.parameters())
    assert record.data.counts == {split: len(dataset) for split, dataset in data.datasets.items()}
    assert (record.data.fingerprint, record.data.skipped) == (data.fingerprint, data.skipped)
    assert record.memory.kind == "resident size"
    for peak in (record.memory.train_peak, record.memory.score_peak):
        assert 4 * parameters.total < peak < psutil.virtual_memory().total, "in bytes"
    assert 0 < sum((record.times.data, record.times.model, record.times.train, record.times.score)) < ran.seconds
    assert record.times.train < record.times.total <= ran.seconds, "in seconds"
    assert record.throughput.train == ran.loop.clock.throughput() and record.throughput.score > 0
    assert record.environment.precision == ran.precision
    expected = environment("cpu", torch.get_num_threads(), ran.precision)
    assert record.environment == replace(expected, jobs=3, processes=1)


SHAPES = {
    "cosine": lambda step, steps, in_epoch: 0.5 * (1 + math.cos(math.pi * step / steps)),
    "constant": lambda step, steps, in_epoch: 1.0,
    "poly": lambda step, steps, in_epoch: (1 - step // in_epoch * in_epoch / steps) ** 0.9,
}


def test_the_exported_schedule_gives_every_rate_that_the_optimizer_had(ran):
    config = peft_form(ran)["run_info"]["train_config"]
    steps, rise = config["max_steps"], round(config["warmup"] * config["max_steps"])
    after = 0 if config["lr_scheduler"] == "poly" else rise  # it falls by whole epochs, from the first step on
    peaks = {"adapter": config["optimizer_kwargs"]["lr"], "head": config["lr_head"]}
    for number, step in enumerate(ran.loop.did):
        shape = SHAPES[config["lr_scheduler"]](number - after, steps - after, config["eval_steps"])
        share = (number + 1) / rise if number < rise else shape
        assert step.rates == pytest.approx({part: share * peaks[part] for part in step.rates})


def peft_form(ran: Ran) -> dict[str, Any]:
    folder, _ = export(ran.results, "peft")
    (path,) = folder.iterdir()
    return json.loads(path.read_text(encoding="utf-8"))


def test_pefts_form(ran):
    assert_same(peft_form(ran), json.loads(json.dumps(expected_peft(ran))))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables(ran, form):
    expected = {name: json.loads(json.dumps(value)) for name, value in expected_row(ran).items()}
    path, _ = export(ran.results, form)
    if form == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            (cells,) = csv.DictReader(file)
        row = {name: read_cell(text, expected.get(name)) for name, text in cells.items()}
    else:
        row = json.loads(pd.read_parquet(path).to_json(orient="records", double_precision=15))[0]
        row = {name: read_cell(v, expected.get(name)) if isinstance(v, str) else v for name, v in row.items()}
    assert_same(row, expected)


def read_cell(text: str, like: Any) -> Any:
    """The text of a cell, as the type of what it should hold."""
    if text == "" or isinstance(like, str):
        return text or None
    return {"True": True, "False": False}[text] if isinstance(like, bool) else json.loads(text)


TASK_TYPES = {"ave": "video-classification", "avs": "image-segmentation", "refcoco:mask": "image-segmentation"}


def test_model_index(ran):
    record, scores, task, data = ran.record, ran.record.scores, ran.setup.task, ran.record.spec.data
    name = record.spec.task
    splits = {split: scores.splits[split] for split in task.test_splits}
    if len(splits) > 1:
        splits["+".join(splits)] = scores.test
    title = f"{name}, generated data v{data['version']} (world {data['seed']}), not the benchmark's own"
    results = [
        {
            "task": {"type": TASK_TYPES.get(name, "object-detection"), "name": name},
            "dataset": {
                "name": title,
                "type": f"generated-{name.replace('+', '-').replace(':', '-')}",
                "split": split,
                "args": {"version": data["version"], "seed": data["seed"]},
            },
            "metrics": [
                {"type": metric, "value": values[metric], "name": f"{metric}, in percent", "verified": False}
                for metric in task.metrics
            ],
        }
        for split, values in splits.items()
    ]
    (path,) = export(ran.results, "model-index")[0].iterdir()
    index = {"name": f"{record.spec.method} on {name}, seed 0", "results": results}
    assert_same(yaml.safe_load(path.read_text(encoding="utf-8")), {"model-index": [index]})


def test_a_tracker_gets_the_whole_configuration(ran):
    record, spec, setup = ran.record, ran.record.spec, ran.setup
    tracker = ran.tracker
    assert (tracker.project, tracker.name) == ("crossmodal-bench", record.stem)
    environment = {**asdict(record.environment), "jobs": None}  # which the command writes into the record afterwards
    settings = json.loads(json.dumps(setup.method.to_config()))
    configuration = {**asdict(spec), "settings": settings, "recipe": asdict(setup.recipe), "environment": environment}
    assert tracker.configuration == {".".join(place): str(value) for place, value in dotted(configuration).items()}
    assert [step for step, _ in tracker.logged] == [*(did["step"] for did in ran.epochs), ran.epochs[-1]["step"]]
    for number, (did, (_, values)) in enumerate(zip(ran.epochs, tracker.logged, strict=False), start=1):
        scores = record.scores.validation[number - 1].scores
        expected = {"epoch": number, "train/loss": did["loss"], **{f"val/{name}": scores[name] for name in scores}}
        assert_same(values, {**expected, **{f"learning_rate/{part}": rate for part, rate in did["rates"].items()}})
    assert tracker.logged[-1][1] == {f"test/{name}": record.scores.test[name] for name in setup.task.metrics}


def dotted(values: Mapping[str, Any], *above: str) -> dict[tuple[str, ...], Any]:
    """The values of nested tables by the keys that lead to them; a list is one value, an empty table none."""
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in values.items():
        flat |= dotted(value, *above, key) if isinstance(value, Mapping) else {(*above, key): value}
    return flat


def test_a_run_that_goes_on_from_its_checkpoint_tells_trackers_the_same(options, tmp_path):
    first = watch("cola", options, tmp_path)
    for path in (tmp_path / "records").iterdir():  # as where it was killed before its record was written
        path.unlink()
    again = watch("cola", options, tmp_path)
    assert again.record.times.resumed == len(first.epochs) and not again.loop.did
    assert again.tracker.logged == first.tracker.logged
