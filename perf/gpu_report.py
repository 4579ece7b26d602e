"""The page that `make gpu` writes beside its records."""

from __future__ import annotations

from collections.abc import Sequence

from bench.profiling.record import Efficiency
from bench.report.published import published
from bench.text import markdown
from perf import gpu_rows, gpu_variants

_COSTS = (
    ("training samples/s", lambda record: f"x{record.against.train.median:.3f}"),
    ("inference samples/s", lambda record: f"x{record.against.score.median:.3f}"),
    ("memory MB", lambda record: f"x{record.against.memory:.3f}"),
    ("GFLOPs", lambda record: f"x{record.against.score_operations:.3f}"),
)
"""The paper's metrics, and ours of the same kind as a ratio of CoLA to LoRA."""


DRY = "; a dry run on a CPU, at tiny sizes and in float32: no figure means anything"


def page(state: gpu_rows.State, records: Sequence[Efficiency]) -> str:
    """Return what was measured so far in Markdown.

    Args:
        state: The rows.
        records: Efficiency records; those of other devices are left out.
    """
    size = gpu_variants.TINY if state.dry else gpu_variants.FULL
    records = [record for record in records if record.environment.device == state.device]
    return (
        "\n\n".join(
            [
                "# Measured by `make gpu`",
                markdown.paragraph(f"On {state.device}, torch {state.torch}{DRY if state.dry else ''}."),
                markdown.heading(2, "Tests that need a GPU"),
                markdown.table(["tests", "outcome", ""], _outcomes(state, "tests"), "l"),
                markdown.heading(2, f"CoLA r 16 against LoRA r 16, {size.name}, {size.videos} videos per step"),
                "In bf16; time or memory against the reference: medians over rounds, with quartiles. A step is "
                "forward, backward, clipping and AdamW, scoring is with merged adapters, memory the allocator's peak.",
                markdown.table(["how", "measurement", "measured", "target"], _variants(state), "lllr"),
                markdown.heading(2, "CoLA relative to LoRA at the size of the suite full, and as published"),
                "All methods are in [efficiency.md](efficiency.md).",
                _costs(records),
                markdown.heading(2, "Rows that are missing"),
                markdown.bullets(_missing(state) or ["none"]),
            ]
        )
        + "\n"
    )


def _outcomes(state: gpu_rows.State, part: str) -> list[list[str]]:
    rows = ((name, state.row(part, name)) for name in state.plan()[part])
    return [[name, row.outcome, row.text] if row else [name, "not run", ""] for name, row in rows]


def _variants(state: gpu_rows.State) -> list[list[str]]:
    table = []
    for part in ("perf", "compiled"):
        for name in state.plan()[part]:
            row = state.row(part, name)
            if not row or row.outcome != "measured":
                table.append([name, "all", f"{row.outcome}: {row.text}" if row else "not measured", ""])
                continue
            label = name
            if compiler := row.figures.get("compiler"):
                label += f" ({compiler['graph breaks']} graph breaks"
                label += ", too many versions: partly not compiled)" if compiler["gave up recompiling"] else ")"
            table += [[label, *line] for line in gpu_variants.lines(name, row.figures)]
    return table


def _costs(records: Sequence[Efficiency]) -> str:
    """Return CoLA's costs relative to LoRA's, the paper's beside those measured here."""
    rows = published("costs")
    figures = {(row["method"], row["metric"]): row["score"] for row in rows}
    cola = {record.spec.task: record for record in records if record.spec.method == "cola"}
    header = ["", *(f"{row}, published" for row in ("LoRA", "CoLA", "CoLA against LoRA")), *cola]
    lines = [
        [
            metric,
            *(figures.get((method, metric), "") for method in ("LoRA", "CoLA", "CoLA against LoRA")),
            *(ratio(record) for record in cola.values()),
        ]
        for metric, ratio in _COSTS
    ]
    source = "; ".join(dict.fromkeys(row["source"] for row in rows))
    note = markdown.paragraph(f"Published: {source}, which names neither the task nor the GPU.")
    return f"{markdown.table(header, lines)}\n\n{note}"


def _missing(state: gpu_rows.State) -> list[str]:
    """Return the rows that are not done, each with the reason."""
    return [
        f"{part}: {name}: {f'{row.outcome}: {row.text}' if (row := state.row(part, name)) else 'not measured yet'}"
        for part in state.plan()
        for name in state.pending(part)
    ]
