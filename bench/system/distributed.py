"""The processes that a launcher such as `torchrun` started, which do every run of a command together.

They are known by the variables that launchers set: RANK, WORLD_SIZE and LOCAL_WORLD_SIZE. Nothing heavy is imported.
"""

from __future__ import annotations

import os
from typing import TypeVar

from bench.errors import UsageError

_T = TypeVar("_T")


def count() -> int:
    """Return the number of processes that share this command: 1 unless a launcher started it."""
    return max(1, int(os.environ.get("WORLD_SIZE") or 1))


def local_count() -> int:
    """Return how many of them are on this machine."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))


def is_main() -> bool:
    """Return whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK") or 0) == 0


def connect(device: str) -> None:
    """Connect the processes of a launcher, so that they can exchange values.

    Args:
        device: "auto", "cpu" or "cuda", as for runs.
    """
    import torch
    from accelerate import PartialState

    PartialState(cpu=device == "cpu" or not torch.cuda.is_available())


def broadcast(value: _T) -> _T:
    """Return the main process's value in all connected processes; each waits for it."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def refuse_missing_processes() -> None:
    """Refuse to be the only process where a launcher was to start several.

    On CPUs `accelerate launch --num_processes N` starts one process, whatever N is. It prepares the environment for
    several all the same: an address at which they meet, but no WORLD_SIZE.

    Raises:
        UsageError: This is such a process; the message has the `torchrun` command that starts all of them.
    """
    if "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise UsageError(
            "accelerate launch starts a single process on CPUs, whatever --num_processes says; for N processes type "
            "`torchrun --standalone --nproc-per-node N -m bench run ...`, for one type `python -m bench run ...`"
        )


def refuse_several(command: str) -> None:
    """End a command that a launcher started several times.

    Args:
        command: What cannot run in several processes, as the message names it.

    Raises:
        UsageError: there are several processes.
    """
    if count() > 1:
        raise UsageError(f"{command} cannot run in the {count()} processes of a launcher: start it without one")


def rows(samples: int, index: int, processes: int) -> range:
    """Return which samples of a batch belong to a process: an even share, possibly none in a small batch.

    Args:
        samples: Number of samples in the whole batch.
        index: Number of the process, from 0.
        processes: Number of processes.
    """
    return range(samples * index // processes, samples * (index + 1) // processes)
