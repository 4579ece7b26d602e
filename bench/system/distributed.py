"""The processes of `accelerate launch`, which do every run of a command together. Needs no heavy import."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

from bench.errors import UsageError

_T = TypeVar("_T")


def count() -> int:
    """How many processes do this command together: 1 unless a launcher started it."""
    return max(1, int(os.environ.get("WORLD_SIZE") or 1))


def local_count() -> int:
    """How many of them are on this machine."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK") or 0) == 0


def connect(device: str) -> None:
    """Connects the processes of a launcher, so that they can agree on something.

    Args:
        device: "auto", "cpu" or "cuda", as for runs.
    """
    import torch
    from accelerate import PartialState

    PartialState(cpu=device == "cpu" or not torch.cuda.is_available())


def agreed(value: _T) -> _T:
    """What the main process says, in all of them once they are connected; each waits for it."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def start_those_missing(arguments: Sequence[str]) -> None:
    """Starts the processes that `accelerate launch --cpu --num_processes N` was asked for and does not start.

    Up to version 1.15 at least it starts one, whatever N, unless MPI is there and configured. In place of this process
    torch's launcher then starts N, as `accelerate launch` itself has it do on GPUs.

    Args:
        arguments: of this command.
    """
    if "ACCELERATE_USE_CPU" not in os.environ or "WORLD_SIZE" in os.environ:
        return
    import psutil

    parent = psutil.Process().parent()
    launch = " ".join(parent.cmdline()) if parent else ""
    asked = re.search(r"accelerate\S* launch.*? --num[_-]processes[ =](\d+).* -m bench\b", launch)
    if asked and int(asked[1]) > 1 and "--cpu" in launch:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", asked[1]]
        os.execv(sys.executable, [sys.executable, *torchrun, "-m", "bench", *arguments])


def refuse_several(what: str) -> None:
    """Ends a command that a launcher started several times.

    Args:
        what: it cannot do so, in a few words.

    Raises:
        UsageError: there are several processes.
    """
    if count() > 1:
        raise UsageError(f"{what} does not go over the {count()} processes of a launcher: start it without one")


def rows(samples: int, index: int, processes: int) -> range:
    """Which samples of a batch are a process's own: an even share, or none where there are fewer than processes.

    Args:
        samples: of the batch, of all processes together.
        index: number of the process.
        processes: how many there are.
    """
    return range(samples * index // processes, samples * (index + 1) // processes)
