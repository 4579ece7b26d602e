"""Memory that runs out is called so, whoever says it in whichever words, and so is what needs less."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from bench import cli
from bench.data import loader
from bench.datasets.media import _decoding
from bench.errors import BenchError, DataError
from bench.system import memory_errors
from bench.system.child_processes import process_pool

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are others there")


def caused(by: Exception) -> Exception:
    error = DataError("x.png cannot be read")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "MemoryError"),
        (np._core._exceptions._ArrayMemoryError((10**9,), np.dtype("f8")), "Unable to allocate 7.45 GiB"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "CUDA out of memory. Tried"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x"), "CUDA error: CUBLAS"),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: you tried\nframe #0: x"), "[enforce] Def"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "[Errno 12]"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "DataLoader worker (pid 7)"),
        (
            RuntimeError("Caught RuntimeError.\nTraceback\nRuntimeError: can't allocate memory: x"),
            "RuntimeError: can't",
        ),
        (caused(MemoryError("in a decoder")), "in a decoder"),
    ],
)
def test_memory_that_ran_out(error, message):
    assert memory_errors.ran_out(error)
    reason = memory_errors.reason(error)
    assert reason.startswith(f"out of memory: {message}") and reason.endswith(f"; {memory_errors.NEEDS_LESS}")
    assert "\n" not in reason


@pytest.mark.parametrize("error", [RuntimeError("x"), ValueError("out of memory"), OSError(errno.ENOSPC, "no space")])
def test_other_errors(error):
    assert not memory_errors.ran_out(error)


@on_linux
def test_a_limit_of_the_process():
    code = """
import mmap, resource
import numpy, torch
from bench.system import memory_errors
resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35))
for allocate in (
    lambda: torch.zeros(10**11), lambda: numpy.ones(10**11), lambda: b'x' * 10**11, lambda: mmap.mmap(-1, 10**11)
):
    try:
        allocate()
    except Exception as error:
        assert memory_errors.ran_out(error), error
        print(memory_errors.reason(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    reasons = done.stdout.splitlines()
    assert len(reasons) == 4 and all(reason.startswith("out of memory: ") for reason in reasons)


def test_a_file_is_not_broken_where_memory_is_short():
    with pytest.raises(MemoryError), _decoding("x.png", "x", "image"):
        raise MemoryError


def test_a_command_says_so_without_a_traceback(monkeypatch, capsys):
    def read(*_):
        raise MemoryError

    monkeypatch.setattr("bench.registry.names", read)
    assert cli.main(["list", "methods"]) == 1
    assert capsys.readouterr().err == f"bench: out of memory: MemoryError; {memory_errors.NEEDS_LESS}\n"


def kill(number: int) -> None:
    os.kill(os.getpid(), number)


@on_linux
def test_a_killed_process_of_a_pool():
    with (
        pytest.raises(BenchError, match=r"^a worker process was killed, probably because memory ran out$"),
        process_pool(1) as pool,
    ):
        list(pool.map(kill, [signal.SIGKILL]))


class Killed:
    names = ("a",)

    def __len__(self):
        return 1

    def __getitem__(self, index):
        kill(signal.SIGKILL)


@on_linux
def test_a_killed_process_that_decodes():
    with pytest.raises(RuntimeError) as caught:
        list(loader.batches(loader.load(loader.Decoded(Killed(), [0]), 1)))
    assert memory_errors.ran_out(caught.value)
