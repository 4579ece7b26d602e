"""Runs from end to end on a few generated videos, with the embedded encoders."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import alike
from mocks import FEW
from small_runs import spec
from torch import nn

from bench.check.integrity import REPEATED
from bench.config.run_options import RunOptions
from bench.data import splits
from bench.errors import BenchError, UsageError
from bench.execution.single_run import _scores_of_samples, execute
from bench.methods.lora import LoRA
from bench.records import predictions, sample_scores, schema, store
from bench.report.leaderboard import leaderboard
from bench.report.standings import compute_standings
from bench.report.terminal import run_table
from bench.training.setup import set_up

BRIEF = ("refcoco.epochs=1", "refcoco.hidden=16")


def measured(record: schema.Record) -> dict[str, Any]:
    """All of a record but times and memory."""
    assert record.status == "ok", record.traceback
    return {part: asdict(record)[part] for part in ("id", "spec", "scores", "parameters", "data")}


@pytest.mark.parametrize("task", ["ave", "avs"])
def test_one_seed_gives_one_record_and_another_seed_another(options, task):
    first, again = (execute(spec(task, "cola"), options) for _ in range(2))
    assert measured(first) == alike(measured(again))
    second = execute(spec(task, "cola", seed=1), options)
    assert asdict(second.scores) != alike(first.scores)
    assert second.data == first.data


def test_a_record_contains_the_measurements(options, tmp_path):
    record = execute(spec("avs", "lora"), options)
    assert store.read(store.write(record, tmp_path)) == record
    scores = record.scores
    assert [entry.epoch for entry in scores.validation] == [1, 2]
    assert [entry.step for entry in scores.validation] == [3, 6]
    best = max(scores.validation, key=lambda entry: entry.scores["miou"])
    assert scores.best_epoch == best.epoch
    assert set(scores.test) == {"miou", "f_score"} and scores.test_samples == 3
    assert set(scores.floors) == {"constant answer", "sees all, hears nothing", "hears all, sees nothing"}
    assert record.memory.kind == "resident size" and record.memory.train_peak > 10**8
    assert record.throughput.train > 0 and record.throughput.score > 0
    assert record.data.source == "generated" and record.data.counts == FEW
    assert record.environment.device == "cpu" and record.environment.versions["torch"]


@pytest.mark.parametrize("method", ["head", "cola-adalora"])
def test_every_trained_parameter_gets_a_gradient_and_scoring_again_gives_the_same(options, method):
    record = execute(spec("ave", method), options)
    assert record.parameters.no_gradient == 0 and record.scores.repeated <= REPEATED


def test_parameters_that_nothing_reaches_are_counted(options, monkeypatch):
    attach = LoRA.attach

    def attach_more(self, model):
        attach(self, model)
        model.unused = nn.Parameter(torch.ones(7))

    monkeypatch.setattr(LoRA, "attach", attach_more)
    assert execute(spec("ave", "lora", "ave.epochs=1"), options).parameters.no_gradient == 7


def test_parameters_are_those_of_the_formulas(options):
    r, width, blocks = 2, 64, 4
    # q, k, v, o and the two linears of the MLP, in both streams.
    both = 2 * blocks * (4 * r * 2 * width + 2 * r * (width + 4 * width))
    lora = execute(spec("ave", "lora", "lora.r=2", "ave.epochs=1"), options).parameters
    cola = execute(spec("ave", "cola", "cola.r=2", "cola.reduction=8", "ave.epochs=1"), options).parameters
    hidden = width // 8
    hyper = width * hidden + 3 * hidden + hidden * r * r + 3 * r * r
    assert lora.adapter == both
    assert cola.adapter == 2 * both + 2 * blocks * 6 * (hyper + 1)
    assert lora.head == cola.head and lora.streams == cola.streams
    assert lora.total == lora.streams + lora.trainable
    assert cola.percent == pytest.approx(100 * cola.adapter / cola.streams)


def test_methods_of_one_seed_share_the_head_and_the_order(options):
    """Before the first step adapters add nothing, so the first losses of two methods are equal."""
    changes = ["ave.epochs=1", "ave.batch_size=6", "train.warmup=0.0"]
    losses = [
        execute(spec("ave", method, *changes), options).scores.validation[0].train_loss for method in ("lora", "cola")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_loss_that_is_not_finite_fails_the_run_and_says_at_which_step(options, tmp_path):
    record = execute(spec("ave", "lora", "train.lr_head=1e30", "train.warmup=0.0", "train.clip=0.0"), options)
    assert record.status == "failed" and record.scores is None
    assert "at step" in record.reason and "DivergedError" in record.traceback and record.step >= 1
    assert store.read(store.write(record, tmp_path)).reason == record.reason


def test_the_official_data_needs_its_folder(options, tmp_path):
    official = spec("ave", "lora", "data.source=official")
    with pytest.raises(UsageError, match="--data-root"):
        execute(official, RunOptions(None, "cpu"))
    record = execute(official, RunOptions(tmp_path, "cpu"))
    assert record.status == "failed" and "AVE_Dataset" in record.reason


def test_the_generated_files_are_read_as_an_official_release(options):
    """The one reader serves both: what the generator wrote, named as official data, gives the same scores."""
    folder = next(options.data_root.rglob("AVE_Dataset")).parent
    generated = execute(spec("ave", "lora"), options)
    official = execute(spec("ave", "lora", "data.source=official"), RunOptions(folder, "cpu"))
    assert official.scores.test == alike(generated.scores.test)
    assert official.data.source == "official" and official.scores.floors == {}


def test_unreadable_samples_stop_the_run_or_are_counted(options, tmp_path):
    shutil.copytree(next(options.data_root.rglob("AVE_Dataset")), tmp_path / "AVE_Dataset")
    victim = next((tmp_path / "AVE_Dataset/raw_audio").glob("test*.wav"))
    victim.write_bytes(b"")
    run_options = RunOptions(tmp_path, "cpu")
    record = execute(spec("ave", "lora", "data.source=official"), run_options)
    assert record.status == "failed" and victim.stem in record.reason
    record = execute(spec("ave", "lora", "data.source=official", "data.skip_unreadable=true"), run_options)
    assert record.data.skipped == 1 and record.scores.test_samples == FEW["test"] - 1
    annotations = tmp_path / "AVE_Dataset/testSet.txt"
    annotations.write_text(annotations.read_text() + "no line of annotations\n")
    record = execute(spec("ave", "lora", "data.source=official", "data.skip_unreadable=true"), run_options)
    assert record.data.skipped == 2, "an entry that is none counts too"
    for text in (leaderboard(compute_standings([record])), run_table([record])):
        assert "Samples skipped because they could not be read: 2 in 1 run" in text


def test_samples_keep_their_groups_and_numbers_if_one_cannot_be_read(options, tmp_path):
    """With a test picture less, what is stored of the remaining samples is what is stored with it."""
    pictures = set_up(spec("refcoco", "head", *BRIEF), options).data.samples["testA"].groups
    root = shutil.copytree(next(options.data_root.rglob("refcoco/instances.json")).parents[1], tmp_path / "release")
    run = spec("refcoco", "head", *BRIEF, "data.source=official", "data.skip_unreadable=true")
    stored = {}
    for part in ("whole", "skipping"):
        record = execute(run, RunOptions(root, "cpu", results=tmp_path / part))
        assert record.status == "ok", record.traceback
        scores, groups = sample_scores.load(tmp_path / part, schema.stem(run), record.scores.metric, "testA")
        stored[part] = record.data, scores, groups, predictions.load(tmp_path / part, run, "testA", is_first=True)
        (root / "images" / "train2014" / pictures[0]).write_bytes(b"")
    left = [number for number, picture in enumerate(pictures) if picture != pictures[0]]
    assert 0 < left[0] < len(left) < len(pictures) == stored["whole"][0].counts["testA"]
    (data, scores, groups, shown), (_, scores_of_all, groups_of_all, all_shown) = stored["skipping"], stored["whole"]
    assert data.counts["testA"] == len(left) and data.skipped == len(pictures) - len(left)
    np.testing.assert_allclose(scores, scores_of_all[left])
    np.testing.assert_array_equal(groups, np.unique(groups_of_all[left], return_inverse=True)[1])
    assert len(set(groups)) < len(groups)
    assert [*shown] == left
    for number in left:
        np.testing.assert_allclose(shown[number]["box"], all_shown[number]["box"], rtol=1e-4, atol=1e-5)


def test_groups_that_do_not_fit_the_scores_are_refused():
    """Samples of one picture would count as independent, in intervals half as wide."""
    scores = {"accuracy": torch.ones(3)}
    assert "group" not in _scores_of_samples(scores, None, "own test")
    assert [*_scores_of_samples(scores, ["b", "a", "b"], "own test")["group"]] == [1, 0, 1]
    with pytest.raises(BenchError, match=r"own test: 3 scores \(accuracy\), but groups of 4 samples"):
        _scores_of_samples(scores, ["b", "a", "b", "a"], "own test")


def test_large_splits_are_decoded_on_demand_with_equal_scores(options, monkeypatch):
    record = execute(spec("avs", "lora"), options)
    splits._cache.clear()
    monkeypatch.setattr(splits, "prepare", lambda *_: None)
    decoded = execute(spec("avs", "lora"), options)
    splits._cache.clear()
    assert asdict(decoded.scores) == alike(record.scores)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_missing_cuda_is_reported(options):
    with pytest.raises(UsageError, match="no CUDA device"):
        execute(spec("ave", "lora"), RunOptions(Path(), "cuda"))
