"""Memory: peaks of the allocator, what happens when it runs out, and the largest batch that fits."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest
import torch

from bench import cli
from bench.measurement.memory import Peak, release_memory
from bench.profiling import largest_batch as batch
from bench.profiling.largest_batch import MAX_BATCH_SIZE, largest_batch
from bench.system import memory_errors

pytestmark = pytest.mark.gpu

MEBIBYTE = 1 << 20
TOO_MUCH = 1 << 50  # bytes


def allocated(device):
    return torch.cuda.memory_allocated() if device == "cuda" else 0


def test_a_peak_is_that_of_the_block(device):
    peak = Peak(torch.device(device))
    before = allocated(device)
    with peak.watching():
        for _ in range(3):
            block = torch.ones(64 * MEBIBYTE, dtype=torch.uint8, device=device)
            assert block.sum() == 64 * MEBIBYTE  # pages are there once they are read and written
            del block
    if device == "cuda":
        assert peak.kind == "cuda allocator" and 64 * MEBIBYTE <= peak.bytes - before < 66 * MEBIBYTE
    else:
        assert peak.kind == "resident size" and peak.bytes > 64 * MEBIBYTE
    if device == "cuda":
        with peak.watching():
            pass
        assert peak.bytes == allocated(device)  # the earlier block does not count


@pytest.mark.parametrize("method", ["lora", "cola", "full"])
def test_the_memory_of_a_step_grows_with_the_batch_and_is_the_same_again(make, device, method):
    few, many = (make(method, "ave", samples=samples) for samples in (1, 3))
    memory, larger = few.memory(), many.memory()
    assert memory.kind == ("cuda allocator" if device == "cuda" else "kept")
    assert 0 < memory.step < larger.step
    assert few.memory().step == pytest.approx(memory.step, rel=0.01)  # with another subject in memory
    if device == "cuda":
        assert memory.step > memory.resident > 0


def test_gradient_checkpointing_needs_less(make):
    plain, less = (make("cola", "ave", f"train.gradient_checkpointing={v}", samples=2) for v in ("false", "true"))
    assert less.memory().step < plain.memory().step
    assert less.loss().item() == pytest.approx(plain.loss().item(), rel=1e-4)


@contextmanager
def little_memory(device, subject, mebibytes):
    """Leave a GPU few mebibytes more than are in use; on a CPU, let the forward pass of over two samples fail."""
    if device == "cuda":
        release_memory()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + mebibytes * MEBIBYTE) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return

    def allocate(module, args):
        if len(args[0]["label"]) > 2:
            torch.empty(TOO_MUCH, dtype=torch.uint8)

    hook = subject.model.register_forward_pre_hook(allocate)
    try:
        yield
    finally:
        hook.remove()


def test_a_step_that_runs_out_of_memory_is_recognized_and_leaves_what_it_took(make, device):
    subject = make("cola", "ave", samples=1)
    subject.model.train()
    subject.step()
    sample, before = subject.train, allocated(device)
    with little_memory(device, subject, 256):
        with pytest.raises(RuntimeError) as caught:
            subject.train = batch._repeated(sample, 256)
            subject.step()
        assert memory_errors.ran_out(caught.value)
        message = memory_errors.reason(caught.value)
        assert message.startswith("out of memory: ") and memory_errors.NEEDS_LESS in message
        del caught
        subject.train = sample
        subject.optimizer.zero_grad()
        release_memory()
        assert allocated(device) == pytest.approx(before, abs=MEBIBYTE)
        subject.step()  # it goes on, within the same memory
    assert subject.loss().isfinite()


def test_one_tensor_too_large_is_out_of_memory(device):
    with pytest.raises(RuntimeError) as caught:
        torch.empty(TOO_MUCH, dtype=torch.uint8, device=device)
    assert memory_errors.ran_out(caught.value)


def with_available(device, monkeypatch, mebibytes):
    """Leave the estimate on a CPU, or the device, so much memory."""
    if device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(mebibytes * MEBIBYTE / total)
    else:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=mebibytes * MEBIBYTE))


def test_the_largest_batch_fits_and_grows_with_the_memory(device, spec, monkeypatch):
    try:
        sizes = []
        for mebibytes in (512, 1024):
            with_available(device, monkeypatch, mebibytes)
            sizes.append(largest_batch(spec("cola", "ave"), device))
            release_memory()
    finally:
        if device == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert 1 < sizes[0] < sizes[1] < MAX_BATCH_SIZE
    assert sizes[1] < 4 * sizes[0]


def test_a_step_larger_than_the_largest_does_not_fit(make, device):
    subject = make("lora", "ave", samples=1)
    subject.model.train()
    subject.step()
    if device == "cpu":
        pytest.skip("a CPU's memory is computed, not tried: the system kills a process that runs out of it")
    with little_memory(device, subject, 512):
        size = batch.largest(lambda samples: batch._step_fits(subject, subject.train, samples))
        assert size > 1
        assert batch._step_fits(subject, subject.train, size)
        assert not batch._step_fits(subject, subject.train, 2 * size)


def test_suggest_batch_prints_a_line_for_each_method(device, monkeypatch, capsys, tmp_path):
    try:
        with_available(device, monkeypatch, 512)
        arguments = ["--suite", "mini", "--methods", "lora,cola", "--tasks", "ave", "--device", device]
        assert cli.main(["profile", *arguments, "--suggest-batch", "--results", str(tmp_path / "none")]) == 0
    finally:
        if device == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    lines = capsys.readouterr().out.splitlines()
    sizes = [int(line.split()[2]) for line in lines]
    assert [line.partition(":")[0] for line in lines] == ["ave lora", "ave cola"]
    assert 1 < sizes[1] <= sizes[0]
