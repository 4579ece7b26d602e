"""One run of all measurements."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from perf import sections
from perf.goals import Goal, Run
from perf.parity import rows as parity_rows
from perf.subjects import Size

THREADS, FORMS = (1, 2), ("ours", "authors' structure")


def measure(device: torch.device, rounds: int, run: bool) -> Run:
    """Measure everything once, in under six minutes on two cores.

    Args:
        device: Where models are.
        rounds: Rounds of each measurement.
        run: Whether the main job is timed too.
    """
    gpu = device.type == "cuda"
    size = Size("ViT-B", reduction=16, videos=4) if gpu else Size("mini", reduction=8, videos=8)
    costs, few = sections.step_costs(size, device, rounds), sections.step_costs(size, device, rounds, r=4)
    layer = sections.layer_rows(size, device, rounds)
    harness = sections.harness_ratio(size, device, max(rounds // 3, 3))
    starts = sections.command_seconds(["--help", "list methods", "list tasks", "run --help"])
    plain = costs.steps["CoLA"].seconds / costs.steps["CoLA, plain"].seconds
    limits = (1.05, 0.7, 1.05) if gpu else (1.12, 0.75, 1.2)
    wide = Size("ViT-B", reduction=16, videos=1, seconds=4, depth=2)

    goals = (
        Goal("CoLA r 16, training step, against LoRA r 16", costs.steps["CoLA"], limits[0], costs.floors[0]),
        Goal("CoLA r 4, training step, against LoRA r 4", few.steps["CoLA"], floor=few.floors[0]),
        Goal("CoLA r 16, training step, against its plain form", plain, limits[1]),
        Goal(
            f"{'peak memory' if gpu else 'memory saved for backward'} of a step, against LoRA r 16",
            costs.counts["CoLA"].bytes / costs.counts["LoRA"].bytes,
            1.05 if gpu else None,
        ),
        Goal(f"the same, width 768, {wide.depth} blocks", sections.memory_ratio(wide, device), 1.05),
        Goal("CoLA r 16 scoring against LoRA r 16, merged", costs.scoring["CoLA"], limits[2], costs.floors[1]),
        *(
            Goal(f"validation of {name} r 16 against its scoring", costs.validation[name])
            for name in sections.SCORED[:2]
        ),
        Goal("harness against a hand-written loop", harness, 1.03),
        *(Goal(f"`bench {command}`, seconds", seconds, 0.15) for command, seconds in starts.items()),
        Goal("`bench leaderboard` of 20,000 records, seconds", sections.leaderboard_seconds(20_000), 5, digits=1),
        Goal(
            "`make run` once installed, with its data generated, seconds",
            sections.run_seconds() if run else None,
            75,
            digits=0,
        ),
    )
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
    tables = (
        f"A training step of {size.videos} videos of {size.seconds} seconds. Relative to LoRA of the same r: time, "
        "floating-point operations of matrix products, operator calls (without views), memory:",
        table(("method", "r", "ms", "time against LoRA", "arithmetic", "operators", "memory"), times),
        "Scoring, with merged adapters where a method can merge them:",
        table(("method", "r", "ms", "time against LoRA"), scores),
        "Forward and backward of single linears, with the hypernetworks of the stage in both streams:",
        table(("linears", "time against LoRA"), layer),
        "Our CoLA, and CoLA in the structure of its authors' code, relative to our LoRA: forward and backward.",
        table(parity_heads, parity),
        "How a step of CoLA grows (the baseline has 2 videos):",
        table(("change", "time", "time against LoRA", "memory", "memory against LoRA"), growth),
        "Share of a training step by kind of operation, percent:",
        table(("kind", "LoRA", "CoLA"), parts),
    )
    return Run(size.name, goals, "\n\n".join(tables))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown, its columns padded to their widest cell."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
