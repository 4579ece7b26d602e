"""Measures speed and memory, and prints tables; `--write` also writes them into perf/README.md."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

from bench.records.environment import processor
from perf import sections
from perf.parity import rows as parity_rows
from perf.subjects import Size

README = Path(__file__).with_name("README.md")
THREADS, FORMS = (1, 2), ("ours", "authors' structure")
MARK = "<!-- below: written by `python -m perf --write` -->"


def main() -> None:
    """Measure everything, in under six minutes on two cores."""
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each measurement; default: %(default)s")
    parser.add_argument("--run", action="store_true", help="also time the main job, which takes minutes")
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
    """Return all tables as Markdown."""
    gpu = device.type == "cuda"
    size = Size("ViT-B", reduction=16, videos=4) if gpu else Size("mini", reduction=8, videos=8)
    costs, few = sections.step_costs(size, device, rounds), sections.step_costs(size, device, rounds, r=4)
    layer = sections.layer_rows(size, device, rounds)
    harness = sections.harness_ratio(size, device, max(rounds // 3, 3))
    starts = sections.command_seconds(["--help", "list methods", "list tasks", "run --help"])
    plain = costs.steps["CoLA"].seconds / costs.steps["CoLA, plain"].seconds
    limits = (1.05, 0.7, 1.05) if gpu else (1.12, 0.75, 1.2)
    wide = Size("ViT-B", reduction=16, videos=1, seconds=4, depth=2)

    goals = [
        ("CoLA r 16, training step, against LoRA r 16", costs.steps["CoLA"], limits[0], f"{costs.floors[0]:.2f}"),
        ("CoLA r 4, training step, against LoRA r 4", few.steps["CoLA"], "", f"{few.floors[0]:.2f}"),
        ("CoLA r 16, training step, against its plain form", f"{plain:.2f}", limits[1], ""),
        (
            f"{'peak memory' if gpu else 'memory saved for backward'} of a step, against LoRA r 16",
            f"{costs.counts['CoLA'].bytes / costs.counts['LoRA'].bytes:.2f}",
            1.05 if gpu else "",
            "",
        ),
        (f"the same, width 768, {wide.depth} blocks", f"{sections.memory_ratio(wide, device):.2f}", 1.05, ""),
        ("CoLA r 16 scoring against LoRA r 16, merged", costs.scoring["CoLA"], limits[2], f"{costs.floors[1]:.2f}"),
        *(
            (f"validation of {name} r 16 against its scoring", costs.validation[name], "", "")
            for name in sections.SCORED[:2]
        ),
        ("harness against a hand-written loop", harness, 1.03, ""),
        *((f"`bench {command}`, seconds", f"{seconds:.2f}", 0.15, "") for command, seconds in starts.items()),
        ("`bench leaderboard` of 20,000 records, seconds", f"{sections.leaderboard_seconds(20_000):.1f}", 5, ""),
        (
            "`make run` once installed, with its data generated, seconds",
            f"{sections.run_seconds():.0f}" if run else "not measured: --run",
            75,
            "",
        ),
    ]
    times = [
        (
            name,
            str(r),
            f"{1000 * of_rank.steps[name].seconds:.0f}",
            str(of_rank.steps[name]),
            *(
                f"{getattr(count, field) / getattr(of_rank.counts['LoRA'], field):.2f}"
                for field in ("flops", "operators", "bytes")
            ),
        )
        for r, of_rank in ((sections.R, costs), (4, few))
        for name, count in of_rank.counts.items()
    ]
    scores = [
        (name, str(r), f"{1000 * ratio.seconds:.0f}", str(ratio))
        for r, of_rank in ((sections.R, costs), (4, few))
        for name, ratio in of_rank.scoring.items()
    ]
    parity_heads = (
        "two blocks a stream",
        *(f"{form}, {n} thread{'s'[: n - 1]}" for n in (THREADS[:1] if gpu else THREADS) for form in FORMS),
    )
    parts = sections.operation_rows(size, device)
    parity = list(parity_rows(device, max(rounds // 3, 3), THREADS if not gpu else THREADS[:1]))
    growth = sections.growth_rows(size, device, max(rounds // 3, 3))
    return "\n\n".join(
        (
            f"{datetime.now(timezone.utc).date()}, {_machine(device)}, torch {torch.__version__}, {size.name} streams. "
            "Ratios are medians over rounds in one process, with quartiles in brackets.",
            _table(("measurement", "measured", "target", "floor"), [tuple(map(str, goal)) for goal in goals]),
            "A floor is LoRA's time with the matrix products of CoLA in place of its own: no form of CoLA with the "
            "same products can be faster, however few operators it has.",
            f"A training step of {size.videos} videos of {size.seconds} seconds. Relative to LoRA of the same r: time, "
            "floating-point operations of matrix products, operator calls (without views), memory:",
            _table(("method", "r", "ms", "time against LoRA", "arithmetic", "operators", "memory"), times),
            "Scoring, with merged adapters where a method can merge them:",
            _table(("method", "r", "ms", "time against LoRA"), scores),
            "Forward and backward of single linears, with the hypernetworks of the stage in both streams:",
            _table(("linears", "time against LoRA"), layer),
            "Our CoLA, and CoLA in the structure of its authors' code, relative to our LoRA: forward and backward.",
            _table(parity_heads, parity),
            "How a step of CoLA grows (the baseline has 2 videos):",
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
