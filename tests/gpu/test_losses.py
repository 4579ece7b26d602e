"""Losses: of two runs with equal seeds, and of a GPU against a CPU, to the tolerances stated here."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from bench import registry
from bench.data.loader import TensorDataset
from bench.profiling.measure import random_streams
from bench.profiling.subject import examples
from bench.training.setup import build_model, build_parts, make_accelerator
from bench.training.trainer import train

pytestmark = pytest.mark.gpu

RUNS = {"no": 1e-3, "bf16": 2e-2}
"""By precision, how much losses of two runs with equal seeds may differ on a GPU, relative to each other: its kernels
add in any order. On a CPU with equal threads they are equal."""

CPU_AGAINST_GPU = 2e-3
"""How much losses in float32 may differ, relative to those of a CPU, with convolutions in float32 rather than TF32."""

METHODS = [name for name in registry.names("methods") if "<" not in name]


def curve(spec, device, seed):
    """Return the losses of a short training, each epoch's mean."""
    task, method, recipe = build_parts(spec)
    recipe = replace(recipe, epochs=2, passes=1, batch_size=2, eval_batch_size=2, views=None, head_first=0)
    accelerator = make_accelerator(device, recipe)
    streams = copy.deepcopy(random_streams(spec))
    batch, _ = examples(task, streams, 4, torch.device("cpu"))
    model, _ = build_model(spec, task, method, streams, None)
    model.to(accelerator.device)
    splits = {"train": TensorDataset(batch), "val": TensorDataset({k: v[:2] for k, v in batch.items()})}
    trained = train(model, method, task, recipe, splits, accelerator, seed=seed, label="")
    return [entry.train_loss for entry in trained.curve]


@pytest.mark.parametrize("precision", RUNS)
@pytest.mark.parametrize("method", ["cola", "cola-adalora"])
def test_two_runs_have_equal_losses(spec, device, method, precision):
    run = spec(method, "ave", f"train.precision={precision}")
    first, second = (curve(run, device, seed=0) for _ in range(2))
    assert second == pytest.approx(first, rel=RUNS[precision] if device == "cuda" else 0)
    if precision == "no":
        different = curve(run, device, seed=1)
        assert different != pytest.approx(first, rel=RUNS[precision])  # another order, beyond the tolerance


@pytest.mark.parametrize("task", ["ave", "avs", "refcoco"])
@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_a_cpu(make, device, method, task, monkeypatch):
    if device == "cpu" and (method not in ("lora", "cola") or task == "avs"):
        pytest.skip("a CPU is compared with itself: a few methods and tasks run all code of this test")

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)

    def losses(on):
        subject = make(method, task, on=on)
        subject.model.eval()  # without dropout, which draws other numbers on a GPU
        values = []
        for _ in range(3):
            values.append(subject.loss().item())
            subject.step()
        return [*values, subject.loss().item()]

    expected = losses("cpu")
    assert losses(device) == pytest.approx(expected, rel=CPU_AGAINST_GPU)
    assert expected[-1] != pytest.approx(expected[0], rel=CPU_AGAINST_GPU)  # the steps matter
