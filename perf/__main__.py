"""Measures speed and memory, and prints tables; `--write` also writes them into perf/README.md."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import torch

from bench.records.environment import processor
from perf.goals import Run, goal_rows, median_run
from perf.measure import measure, table

README = Path(__file__).with_name("README.md")
MARK = "<!-- below: written by `python -m perf --write` -->"
WRITTEN_RUNS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything; a run takes under six minutes on two cores, without the main job."""
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=_positive, default=15, help="rounds of each measurement; default: %(default)s")
    runs_help = f"runs, each in a process of its own, whose spread is shown; default: 1, with --write {WRITTEN_RUNS}"
    parser.add_argument("--runs", type=_positive, help=runs_help)
    parser.add_argument("--run", action="store_true", help="also time the main job, which takes minutes")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {README.name}")
    args = parser.parse_args(arguments)
    start = time.perf_counter()
    count = args.runs or (WRITTEN_RUNS if args.write else 1)
    runs = list(measured_runs(count, torch.device(args.device), args.rounds, args.run))
    text = report(torch.device(args.device), runs)
    print(text, flush=True)
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")
    if args.write:
        head = README.read_text(encoding="utf-8").partition(MARK)[0]
        README.write_text(f"{head}{MARK}\n\n{text}\n", encoding="utf-8")


def measured_runs(count: int, device: torch.device, rounds: int, run: bool) -> Iterator[Run]:
    """Yield what each of several runs measures (`measure`), one after the other.

    If there are several, each is in a process of its own: where memory lies differs between processes, and makes them
    faster or slower for as long as they live.
    """
    for number in range(1, count + 1):
        if count == 1:
            yield measure(device, rounds, run)
            return
        start = time.perf_counter()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool.submit(measure, device, rounds, run).result()
        print(f"run {number} of {count}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def report(device: torch.device, runs: Sequence[Run]) -> str:
    """Return all tables as Markdown: that of goals from all runs, the others from the median run."""
    spread = "Ratios are medians over rounds in one process, with quartiles in brackets."
    if len(runs) > 1:
        spread = (
            f"The first table shows the medians of {len(runs)} runs, minimum and maximum in brackets. The other tables "
            "are from the run with the median step ratio of CoLA r 16; their ratios are medians over rounds in one "
            "process, with quartiles in brackets."
        )
    date = datetime.now(timezone.utc).date()
    return "\n\n".join(
        (
            f"{date}, {_machine(device)}, torch {torch.__version__}, {runs[0].streams} streams. {spread}",
            table(("measurement", "measured", "target", "floor"), goal_rows(runs)),
            "A floor is LoRA's time with the matrix products of CoLA in place of its own: no form of CoLA with the "
            "same products can be faster, however few operators it has.",
            median_run(runs).tables,
        )
    )


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is expected, not {text}")
    return int(text)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
