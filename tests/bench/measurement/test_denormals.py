"""What of the processor's arithmetic is changed while models are trained, and given back."""

from __future__ import annotations

import pytest
import torch
from small_runs import spec

from bench.execution import single_run
from bench.measurement.denormals import are_flushed, denormals_flushed
from bench.measurement.speed import by_turns
from bench.saved_adapters import evaluate

TINY = 1e-39  # a denormal of float32


def product() -> float:
    return (torch.tensor([TINY]) * torch.tensor([0.5])).item()


def test_denormals_are_flushed_and_then_are_not():
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot")
    assert product() > 0 and not are_flushed()
    with denormals_flushed():
        assert product() == 0 and are_flushed()
        with denormals_flushed():
            pass
        assert are_flushed()
    assert product() > 0
    with pytest.raises(ZeroDivisionError), denormals_flushed():
        _ = 1 / 0
    assert not are_flushed()


def test_they_are_flushed_in_training_in_scoring_and_in_timing(options, monkeypatch, tmp_path):
    flushed = {}

    def noting(module, name):
        real = getattr(module, name)

        def noted(*args, **kwargs):
            flushed[name] = are_flushed()
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, noted)

    noting(single_run, "train")
    assert single_run.execute(spec("avs", "lora", "avs.epochs=1"), options).status == "ok"
    noting(evaluate, "open_adapter")
    with pytest.raises(Exception, match="contains no saved adapter"):
        evaluate.evaluate(tmp_path, options)
    by_turns({"one": lambda: flushed.update(timed=are_flushed())}, "one", 1, torch.device("cpu"))
    assert flushed == {"train": True, "open_adapter": True, "timed": True}
    assert not are_flushed()
