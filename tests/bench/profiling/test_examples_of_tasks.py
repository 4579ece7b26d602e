"""Made-up samples: like those that the readers give, and fit for loss and scores."""

from __future__ import annotations

import pytest
import torch

from bench import registry
from bench.config.plan import RunRequest, make_plan
from bench.data.splits import open_splits
from bench.errors import BenchError
from bench.profiling.measure import random_streams
from bench.profiling.subject import examples
from bench.tasks.avs import AVSMulti
from bench.tasks.base import Task
from bench.training.setup import build_model, build_parts


@pytest.mark.parametrize("name", ["ave", "avs", "refcoco", "avqa"])
def test_they_are_like_those_of_the_readers(name, options):
    (spec,) = make_plan(RunRequest("mini", ["head"], [name]))
    task, _, _ = build_parts(spec)
    streams = random_streams(spec)
    inputs = {stream: stream_module.input for stream, stream_module in streams.streams.items()}
    batches = examples(task, streams, 2, torch.device("cpu"))
    real_inputs = {**inputs}
    if "text" in inputs:  # readers need the tokenizer
        from bench.streams.load import outline_stream

        real_inputs["text"] = outline_stream(**spec.streams["text"]).input
    data = open_splits(task, spec.data, options.data_root, real_inputs)
    for split, batch in zip(("train", task.test_splits[0]), batches, strict=True):
        sample = data.datasets[split][0]
        assert batch.keys() == sample.keys()
        for key, values in batch.items():
            assert values.dtype == sample[key].dtype, key
            free = key in ("text", "mirrored", "truth")  # as long as the longest text, or the largest picture
            assert len(values) == 2 and values.dim() == sample[key].dim() + 1
            assert free or values.shape[1:] == sample[key].shape, key


@pytest.mark.parametrize("name", ["ave", "avs", "avs_ms3", "refcoco", "refcocog:mask", "refcoco+refcoco_plus", "avqa"])
def test_loss_and_scores_take_them(name):
    (spec,) = make_plan(RunRequest("mini", ["head"], [name.replace("avs_ms3", "avs")]))
    task, method, _ = build_parts(spec)
    task = AVSMulti() if name == "avs_ms3" else task
    streams = random_streams(spec)
    model, _ = build_model(spec, task, method, streams, None)
    train, test = examples(task, streams, 2, torch.device("cpu"))
    with torch.no_grad():
        assert task.loss(model(train), train).isfinite()
        scores = task.score(model.eval()(test), test)
    assert all(len(values) == 2 and values.isfinite().all() for values in scores.values())


def test_frames_of_avs():
    (spec,) = make_plan(RunRequest("mini", ["head"], ["avs"]))
    streams = random_streams(spec)
    for task, annotated in ((registry.load("tasks", "avs")(), 1), (AVSMulti(), 5)):
        train, test = examples(task, streams, 1, torch.device("cpu"))
        assert train["mask"].shape == (1, annotated, 224, 224) and test["mask"].shape == (1, 5, 224, 224)


def test_a_task_of_others_that_makes_none_up_is_told_of():
    (spec,) = make_plan(RunRequest("mini", ["head"], ["ave"]))
    task = type("Own", (registry.load("tasks", "ave"),), {"example": Task.example})()
    with pytest.raises(BenchError, match="Own has no random samples"):
        examples(task, random_streams(spec), 1, torch.device("cpu"))
