"""Measures speed and memory and prints tables; `--write` puts them into perf/README.md."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

from bench.records.environment import processor
from perf import sections
from perf.subjects import Size

README = Path(__file__).with_name("README.md")
MARK = "<!-- below: written by `python -m perf --write` -->"


def main() -> None:
    """Measure everything, in under five minutes on two cores."""
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=15, help="of the training step; default: %(default)s")
    parser.add_argument("--run", action="store_true", help="time the main job too: minutes")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {README.name}")
    args = parser.parse_args()
    start = time.perf_counter()
    text = report(torch.device(args.device), args.rounds, args.run)
    print(text, flush=True)
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")
    if args.write:
        head = README.read_text(encoding="utf-8").partition(MARK)[0]
        README.write_text(f"{head}{MARK}\n\n{text}\n", encoding="utf-8")


def report(device: torch.device, rounds: int, run: bool) -> str:
    """Return all tables, in Markdown."""
    gpu = device.type == "cuda"
    size = Size("ViT-B", reduction=16, videos=4) if gpu else Size("mini", reduction=8, videos=8)
    steps, merged, costs = sections.of_step(size, device, rounds)
    few_steps, few_merged, few_costs = sections.of_step(size, device, rounds, r=4)
    layer = sections.of_layer(size, device, rounds)
    harness = sections.of_harness(size, device, max(rounds // 3, 3))
    starts = sections.of_start(["--help", "list methods", "list tasks", "run --help"])
    plain = steps["CoLA"].seconds / steps["CoLA, plain"].seconds
    limits = (1.05, 0.7, 1.05) if gpu else (1.12, 0.75, 1.12)

    def against(what: str) -> str:
        return f"{getattr(costs['CoLA'], what) / getattr(costs['LoRA'], what):.2f}"

    goals = [
        ("CoLA r 16, training step, against LoRA r 16", str(steps["CoLA"]), f"{limits[0]}"),
        ("the same against the plain form of CoLA", f"{plain:.2f}", f"{limits[1]}"),
        (
            f"{'peak memory' if gpu else 'memory kept'} of a step, against LoRA r 16",
            against("bytes"),
            "1.05" if gpu else "",
        ),
        ("CoLA r 16 scoring against LoRA r 16, both merged", str(merged["CoLA"]), f"{limits[2]}"),
        ("harness against a loop by hand, same work", str(harness), "1.03"),
        *(
            (f"`bench {c}`, seconds", f"{s:.2f}", "0.3" if c in ("--help", "list methods") else "")
            for c, s in starts.items()
        ),
        ("`bench leaderboard` of 20,000 records, seconds", f"{sections.of_leaderboard(20_000):.1f}", "5"),
        (
            "`make run` after installation, its data there, seconds",
            f"{sections.of_run():.0f}" if run else "not measured: --run",
            "180",
        ),
    ]
    times = [
        (
            name,
            str(r),
            f"{1000 * times[name].seconds:.0f}",
            str(times[name]),
            *(
                f"{getattr(cost, what) / getattr(all_costs['LoRA'], what):.2f}"
                for what in ("flops", "operators", "bytes")
            ),
        )
        for r, times, all_costs in ((sections.R, steps, costs), (4, few_steps, few_costs))
        for name, cost in all_costs.items()
    ]
    scores = [
        (name, str(r), f"{1000 * ratio.seconds:.0f}", str(ratio))
        for r, ratios in ((sections.R, merged), (4, few_merged))
        for name, ratio in ratios.items()
    ]
    parts = sections.of_parts(size, device)
    growth = sections.of_growth(size, device, max(rounds // 3, 3))
    return "\n\n".join(
        (
            f"{datetime.now(timezone.utc).date()}, {_machine(device)}, torch {torch.__version__}, {size.name} streams. "
            "Ratios are medians of rounds by turns in one process, quartiles in brackets.",
            _table(("what", "measured", "to reach"), goals),
            f"A training step, {size.videos} videos of {size.seconds} seconds. Against LoRA of the same r: its time, "
            "the floating-point operations of its products, the operators that it calls (views left out), its memory:",
            _table(("method", "r", "ms", "time against LoRA", "arithmetic", "operators", "memory"), times),
            "Scoring, with what merges merged:",
            _table(("method", "r", "ms", "time against LoRA"), scores),
            "Forward and backward of single linears, with the hypernetworks of the stage in both streams:",
            _table(("what", "time against LoRA"), layer),
            "How a step of CoLA grows (2 videos to start with):",
            _table(("change", "time", "time against LoRA", "memory", "memory against LoRA"), growth),
            "Share of a training step by kind of operation, percent:",
            _table(("kind", "LoRA", "CoLA"), parts),
        )
    )


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} threads"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


if __name__ == "__main__":
    main()
