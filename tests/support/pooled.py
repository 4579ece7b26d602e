"""Mock runs in a worker process, which imports these functions by name, since it sees no monkeypatch.

`python pooled.py ARGUMENTS` is `bench ARGUMENTS` with the made-up methods and tasks and with runs that do `linger`, or
what the environment variable RUNS names. With SLOW_LEADERBOARD writing it takes a second: the file that this names
appears when it begins.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mocks

from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import DataError, UsageError
from bench.records.schema import Record
from bench.system import cpus

held: list[object] = []


def noted(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Write a file, and return a finished run whose record says which process did it, with how many threads."""
    assert options.data_root
    (options.data_root / f"{spec.seed}").write_text("")
    return mocks.record(spec, environment=replace(mocks.ENVIRONMENT, device=str(os.getpid()), threads=threads or 1))


def counted(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Return a finished run whose record has the CPUs that its process may use as its threads."""
    return noted(spec, options, cpus.available_cpus())


def met(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """End only when the other run of a pair (seeds 0 and 1, or 2 and 3) has begun too."""
    record = noted(spec, options, threads)
    _until((options.data_root / f"{spec.seed ^ 1}").exists)
    logging.getLogger("bench").warning("warned by %s", spec.seed)
    logging.getLogger("bench").debug("told by %s", spec.seed)
    return record


def data_missing(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Raise an error in seed 0, as if the data were missing, while seed 1 is running."""
    record = met(spec, options, threads)
    if spec.seed == 0:
        raise DataError("x/y.wav of sample y is missing")
    time.sleep(0.5)
    return record


def device_missing(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Raise an error, as if the data were missing."""
    raise UsageError(["one mistake", "and another"])


def killed(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Kill seed 0 while seed 1 is running, and raise an error in seed 2."""
    record = noted(spec, options, threads)
    if spec.seed == 0:
        _until((options.data_root / "1").exists)
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.seed == 2:
        raise ZeroDivisionError("a mistake in the code")
    time.sleep(0.5)
    return record


def linger(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Finish seed 0 at once; let other runs take a minute, with files that a killed process would leave behind."""
    record = noted(spec, options, threads)
    held.append(multiprocessing.get_context("spawn").Lock())
    if spec.seed:
        time.sleep(60)
    return record


def brief(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Return a short run that prints to a stream that may be closed already."""
    time.sleep(0.1)
    print("loading", file=sys.stderr, flush=True)
    return noted(spec, options, threads)


def stubborn(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Return a run that ends slowly."""
    try:
        noted(spec, options, threads)
        time.sleep(60)
    finally:
        time.sleep(60)
    raise AssertionError


def hoard(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Allocate a gigabyte, except in seed 0."""
    record = noted(spec, options, threads)
    if spec.seed:
        held.append(b"x" * 10**9)
        time.sleep(60)
    return record


def tried(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Return a run of a trial."""
    assert options.validate_only and options.results is None
    return mocks.trial(spec)


def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "this never happened"
        time.sleep(0.01)


def slow(write: Callable[..., object], begun: Path) -> Callable[..., object]:
    """Return a slow writer of the leaderboard."""

    def write_slowly(results: Path, **options: Any) -> object:
        begun.touch()
        time.sleep(1)
        return write(results, **options)

    return write_slowly


if __name__ == "__main__":
    import bench
    from bench import registry
    from bench.__main__ import run_command
    from bench.execution import process_pool
    from bench.report import write

    registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]
    process_pool.make_data = lambda specs, options: None
    process_pool.execute_run = globals()[os.environ.get("RUNS", "linger")]
    sys.modules["bench.execution.single_run"] = bench.execution.single_run = SimpleNamespace(  # torch is not needed
        execute=lambda spec, options: process_pool.execute_run(spec, options, 1)
    )
    if begun := os.environ.get("SLOW_LEADERBOARD"):
        write.write_leaderboard = slow(write.write_leaderboard, Path(begun))
    sys.exit(run_command(sys.argv[1:]))
