"""Batches come from processes that decode also where there is little shared memory, as in Docker, or none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import loader
from bench.errors import BenchError
from bench.system import child_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is another there")


class Pictures:
    """Sixteen samples of a megabyte."""

    names = tuple("abcdefghijklmnop")

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return {"x": np.full(2**18, index, dtype=np.float32), "y": np.int64(index)}


def check() -> None:
    loader.decoding_workers = lambda: 2
    batches = list(loader.batches(loader.load(loader.Decoded(Pictures(), range(16)), 4)))
    assert [len(batch["x"]) for batch in batches] == [4] * 4
    for index, sample in enumerate(value for batch in batches for value in batch["x"]):
        assert isinstance(sample, torch.Tensor) and bool((sample == index).all())
    assert torch.cat([batch["y"] for batch in batches]).flatten().tolist() == list(range(16))


def test_batches_go_through_a_pipe_if_shared_memory_is_full(monkeypatch):
    def full(values):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)  # the processes are forked, and have it too
    monkeypatch.setattr(loader, "decoding_workers", loader.decoding_workers)
    check()


def test_batches_are_shared_if_there_is_room(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "numpy", None)
    monkeypatch.setattr(loader, "decoding_workers", loader.decoding_workers)
    check()


def mounted(size: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python where /dev/shm has so much room, and nobody else sees it."""
    words = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"', "sh"]
    return subprocess.run(
        [*words, sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def can_mount():
    if not shutil.which("unshare") or mounted("1m", "").returncode:
        pytest.skip("this user may not mount anything")


@pytest.mark.parametrize("size", ["2m", "9m"])
def test_little_shared_memory(can_mount, size):
    folder = str(Path(__file__).parent)
    process = mounted(size, f"import sys; sys.path.insert(0, {folder!r}); import test_shared_memory as t; t.check()")
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr


def test_without_semaphores_the_process_decodes_itself(monkeypatch):
    class Context:
        def Lock(self):  # noqa: N802 - as multiprocessing calls it
            raise OSError(38, "Function not implemented")

        Event = Lock

    monkeypatch.setattr(child_processes, "SPAWN", Context())
    assert loader.load(loader.Decoded(Pictures(), range(16)), 4).num_workers == 0
    with (
        pytest.raises(BenchError, match=r"semaphores, which are in /dev/shm: \[Errno 38\]"),
        child_processes.process_pool(1),
    ):
        pass
