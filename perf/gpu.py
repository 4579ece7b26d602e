"""Measures what needs a GPU, the most valuable first: its tests, CoLA against LoRA, and the costs of all methods.

Rows are recorded as they are measured; repeated, the command goes on with those that are missing. Exit code: 0 if
everything is measured, 1 if something failed or is missing, 2 for wrong usage and without a GPU.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from bench import files
from bench.errors import BenchError
from bench.profiling import record as efficiency
from bench.records.environment import processor
from bench.system import signals
from perf import gpu_report, gpu_rows

RESULTS = gpu_rows.ROOT / "results" / "full-efficiency"
DRY_RESULTS = gpu_rows.ROOT / "build" / "gpu-dry"
NO_GPU = "make gpu: torch finds no CUDA device on this machine; `make gpu DRY=1` runs everything on the CPU, tiny"

Worker = Callable[[str, Sequence[str], float], int | None]
"""Measures rows of a part for so many seconds, and returns the exit code, or None if it had to be stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m perf.gpu", description=__doc__)
    parser.add_argument("--dry", action="store_true", help=f"on the CPU, with tiny sizes, into {DRY_RESULTS.name}")
    parser.add_argument("--only", choices=gpu_rows.PARTS, metavar="PART", help=f"one of {', '.join(gpu_rows.PARTS)}")
    parser.add_argument("--minutes", type=_minutes, default=8.0, help="time for all parts; default: %(default)s")
    args = parser.parse_args(arguments)
    if not args.dry and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    results = DRY_RESULTS if args.dry else RESULTS
    if args.dry:
        shutil.rmtree(results, ignore_errors=True)  # a dry run tries everything
    device = processor() if args.dry else torch.cuda.get_device_name()
    try:
        earlier = gpu_rows.read(results)
        gpu_rows.write(results, gpu_rows.current(earlier, device, args.dry, str(torch.__version__)))
    except (BenchError, OSError) as error:
        print(f"make gpu: {error}", file=sys.stderr)
        return 2
    parts = [args.only] if args.only else list(gpu_rows.PARTS)

    def work(part: str, rows: Sequence[str], seconds: float) -> int | None:
        return _work(part, rows, seconds, results, args.dry)

    try:
        with signals.raised(KeyboardInterrupt):
            return measure(results, deadlines(parts, 60 * args.minutes), work)
    except KeyboardInterrupt:
        print("make gpu: interrupted; what is measured is recorded, and the command goes on from it", file=sys.stderr)
        return 130


def _minutes(text: str) -> float:
    minutes = float(text)
    if not (math.isfinite(minutes) and minutes > 0):
        raise argparse.ArgumentTypeError(f"a number of minutes above 0 is expected, not {text}")
    return minutes


def deadlines(parts: Sequence[str], seconds: float) -> dict[str, float]:
    """Return when each part must end, in seconds from the start: each has its share, and what earlier ones leave."""
    total = sum(gpu_rows.PARTS[part] for part in parts)
    ends, minutes = {}, 0.0
    for part in parts:
        minutes += gpu_rows.PARTS[part]
        ends[part] = seconds * minutes / total
    return ends


def measure(results: Path, ends: Mapping[str, float], work: Worker, clock: Callable[[], float] = time.monotonic) -> int:
    """Measure the rows of some parts that are missing, and print what became of all.

    Args:
        results: The folder, whose file of rows is there.
        ends: When each part must end, in seconds from now.
        work: Measures rows.
        clock: Returns seconds.

    Returns:
        0 if all rows of these parts are done, else 1.
    """
    start = clock()
    for part, end in ends.items():
        measure_part(part, results, work, lambda end=end: start + end - clock())
    state = _state(results)
    files.write_text(results / "gpu.md", gpu_report.page(state, efficiency.read_all(results)))
    missing = [f"{part}: {name}" for part in ends for name in state.pending(part)]
    for part in ends:
        count = len(state.plan()[part])
        print(f"{part}: {count - len(state.pending(part))} of {count} rows are done")
    for label in missing:
        row = state.row(*label.split(": ", 1))
        print(f"  {label}: {f'{row.outcome}: {row.text}' if row else 'not measured: the time was over'}")
    print(f"{clock() - start:.0f} s; {results / 'gpu.md'}{'; repeat the command for the rest' if missing else ''}")
    return int(bool(missing))


def measure_part(part: str, results: Path, work: Worker, seconds_left: Callable[[], float]) -> None:
    """Measure the rows of a part that are missing, each once, in as many processes as it takes."""
    rows = _state(results).pending(part)
    while rows and (seconds := seconds_left()) > 0:
        before = _state(results)
        code = work(part, rows, seconds)
        state = _state(results)
        begun = [name for name in rows if state.row(part, name) != before.row(part, name)]
        if not begun and code:
            state.begin(part, rows[0])
        for name in rows:
            row = state.row(part, name)
            if row and row.outcome == "running":
                state.end(part, name, "failed", _end_of(code, seconds))
        gpu_rows.write(results, state)
        if not begun or not code:
            break
        rows = [name for name in rows if name not in begun]


def _end_of(code: int | None, seconds: float) -> str:
    if code is None:
        return f"stopped, since the time of its part, {seconds:.0f} s, was over"
    return f"its process ended by signal {signal.Signals(-code).name}" if code < 0 else f"its process ended with {code}"


def _state(results: Path) -> gpu_rows.State:
    state = gpu_rows.read(results)
    if state is None:
        raise BenchError(f"{gpu_rows.path_of(results)} has been removed meanwhile")
    return state


def _work(part: str, rows: Sequence[str], seconds: float, results: Path, dry: bool) -> int | None:
    """Start a process that measures rows, and stop it, with its children, when the time is over."""
    command = [sys.executable, "-m", "perf.gpu_worker", part, *rows, "--results", str(results)]
    command += ["--seconds", str(seconds), *(["--dry"] if dry else [])]
    process = subprocess.Popen(command, cwd=gpu_rows.ROOT, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # of a compiler, if it lives
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
