"""The largest batch that fits: the search, what counts as not fitting, and the estimate on a CPU."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.config.plan import RunRequest, make_plan
from bench.profiling import largest_batch as batch
from bench.profiling.largest_batch import MAX_BATCH_SIZE, largest, largest_batch


@given(limit=st.integers(0, 2 * MAX_BATCH_SIZE))
def test_the_search_finds_the_limit_in_few_tries(limit):
    tried = []

    def fits(samples):
        tried.append(samples)
        return samples <= limit

    assert largest(fits) == min(limit, MAX_BATCH_SIZE)
    assert len(tried) == len(set(tried)) <= 25 and max(tried) <= MAX_BATCH_SIZE


def subject(limit, error):
    """Return a subject whose steps do not fit above a limit."""
    subject_stub = SimpleNamespace(train=None, cleared=0, accelerator=SimpleNamespace(device=torch.device("cpu")))

    def step():
        if len(subject_stub.train["label"]) > limit:
            raise error

    def clear():
        subject_stub.cleared += 1

    subject_stub.step, subject_stub.optimizer = step, SimpleNamespace(zero_grad=clear)
    return subject_stub


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling")]
)
def test_steps_are_tried_and_cleaned_up_after(error, monkeypatch):
    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    monkeypatch.setattr(batch, "release_memory", lambda: None)
    sample = {"label": torch.zeros(1, 10)}
    subject_stub = subject(37, error)
    assert largest(lambda samples: batch._step_fits(subject_stub, sample, samples)) == 37
    assert subject_stub.train is sample and subject_stub.cleared > 7


def test_another_error_of_a_step_is_not_taken_for_want_of_memory(monkeypatch):
    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    with pytest.raises(RuntimeError, match="shapes"):
        batch._step_fits(subject(0, RuntimeError("shapes do not go together")), {"label": torch.zeros(1)}, 2)


def test_on_a_cpu_it_is_what_the_available_memory_holds(monkeypatch, small):
    (spec,) = make_plan(RunRequest("mini", ["lora"], ["avs"], [0], small))

    def with_megabytes(number):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=number * 10**6))
        return largest_batch(spec, "cpu")

    few, twice = with_megabytes(10), with_megabytes(20)
    assert 5 < few < 500
    assert twice == pytest.approx(2 * few, rel=0.1)
    assert with_megabytes(0) == 0
