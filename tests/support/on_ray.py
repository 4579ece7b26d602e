"""Mock runs on the nodes of a Ray cluster, which import these functions by name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import mocks

from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import UsageError
from bench.records.schema import Record


def slept(spec: Spec, options: RunOptions, threads: int, seconds: float = 0.5) -> Record:
    """Sleeps; the record's device is the node. Below the data's folder it leaves a file when it begins, one at the end.

    A run named by a file `raises` has a mistake in its code.
    """
    node = _node()
    _leave(options, "begun", spec, node)
    time.sleep(seconds)
    if (options.data_root / "raises" / str(spec.seed)).exists():
        raise ZeroDivisionError("a mistake in the code")
    _leave(options, "ended", spec, node)
    return mocks.record(spec, environment=replace(mocks.ENVIRONMENT, device=node, threads=threads))


def woken() -> None:
    """Is there."""
    time.sleep(0.5)


def dozed(spec: Spec, options: RunOptions, threads: int) -> Record:
    """Sleep for a shorter time."""
    return slept(spec, options, threads, 0.25)


def killed(spec: Spec, options: RunOptions, threads: int) -> Record:
    """Kill the process of seed 0."""
    if spec.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return slept(spec, options, threads, 0.0)


def device_missing(spec: Spec, options: RunOptions, threads: int) -> Record:
    """Raise an error, as if the data were missing."""
    raise UsageError(["one mistake", "and another"])


def lingering(spec: Spec, options: RunOptions, threads: int) -> Record:
    """Run for a minute, and write a file when asked to end."""
    _leave(options, "begun", spec, _node())
    try:
        for _ in range(3000):
            time.sleep(0.02)
    finally:
        _leave(options, "tidied", spec, _node())
    return mocks.record(spec)


def _node() -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


def _leave(options: RunOptions, folder_name: str, spec: Spec, node: str) -> None:
    assert options.data_root and options.data_root.is_absolute()
    folder = Path(options.data_root, folder_name)
    folder.mkdir(exist_ok=True)
    (folder / f"{spec.seed}-{node}").write_text("")
