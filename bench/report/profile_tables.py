"""Tables of efficiency records, which `bench profile` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.config.describe import assignments
from bench.measurement.spread import Spread
from bench.profiling.record import Efficiency
from bench.report.formatting import NONE
from bench.report.published import published
from bench.report.text_table import text_table
from bench.text import escape, markdown

_HEADER = [
    "method",
    "adapter",
    "head",
    "total",
    "GFLOP train",
    "GFLOP score",
    "MB",
    "train /s",
    "score /s",
    "merged /s",
]
_RECIPE_FIELDS = ("precision", "micro_batch", "gradient_checkpointing", "compile", "low_precision_frozen")
_RATIOS = ["method", "against", "train", "score", "merged", "memory", "GFLOP train", "GFLOP score"]

ABOUT = """\
Weights and samples are random, with their real sizes: only costs are measured, and there are no scores. A sample is one
of the split: for AVS S4, one frame of a video in training, and its five frames in scoring.
Methods alternate in one process, and numbers are medians over rounds. `GFLOP`: billions of floating-point operations of
matrix products and convolutions per sample, forward and backward in training. `/s`: samples per second, without reading
data. `MB`: memory of a training step in millions of bytes; on a GPU the peak including weights and optimizer state, on
a CPU only the tensors stored for the backward pass. `merged`: scoring with everything mergeable folded into the
encoders."""

LEGEND = "Ratios are computed within each round, with quartiles. Speed above 1 is faster; memory above 1 is more."

MEMORY = """\
MB is the memory of one training step: on a GPU its peak, with weights and optimizer state; on a CPU only the tensors
stored for the backward pass. The MB of `bench run` is the peak of the whole training."""


def terminal(records: Sequence[Efficiency]) -> str:
    """Return the tables of records for a terminal."""
    parts = []
    for title, group in _groups(records):
        tables = [text_table(_HEADER, _lines(group), "lr"), text_table(_RATIOS, _ratios(group), "lr")]
        parts.append("\n\n".join([*map(escape.line, title), *tables]))
    return "\n\n".join(parts)


def page(records: Sequence[Efficiency]) -> str:
    """Return all records in Markdown, by task and device, followed by the costs that the CoLA paper reports."""
    parts = ["# What methods cost", ABOUT, LEGEND]
    for title, group in _groups(records):
        heading, common = title
        parts += [markdown.heading(2, heading), markdown.paragraph(common)]
        parts += [markdown.table(_HEADER, _lines(group)), markdown.table(_RATIOS, _ratios(group)), _environment(group)]
    return "\n\n".join([*parts, _elsewhere()]) + "\n"


def _groups(records: Sequence[Efficiency]) -> Iterator[tuple[tuple[str, str], list[Efficiency]]]:
    """Yield groups of comparable records, the reference first, each with its title and its common settings."""
    groups: dict[tuple[str, str, str, int, str], list[Efficiency]] = {}
    for record in records:
        spec = record.spec
        key = spec.task, spec.suite, record.environment.device, record.batch_size, _common(record)
        groups.setdefault(key, []).append(record)
    for (task, suite, device, size, common), group in sorted(groups.items()):
        title = f"{task} of suite {suite} on {device}, {size} {'sample' if size == 1 else 'samples'} per step"
        yield (title, common), sorted(group, key=lambda record: record.spec.method != record.against.method)


def _common(record: Efficiency) -> str:
    """Return the settings that costs depend on besides the method, in one line."""
    streams = [f"{name}: {assignments(source)}" for name, source in record.spec.streams.items()]
    recipe = {name: value for name, value in record.spec.recipe.items() if name in _RECIPE_FIELDS}
    return "; ".join([*streams, f"recipe: {assignments(recipe)}"])


def _labels(records: Sequence[Efficiency]) -> list[str]:
    """Return a label for each record: its method, with all settings if several records have the same method."""
    methods = [record.spec.method for record in records]
    return [
        f"{method} ({assignments(record.spec.settings)})" if methods.count(method) > 1 else method
        for method, record in zip(methods, records, strict=True)
    ]


def _lines(records: Sequence[Efficiency]) -> list[list[str]]:
    return [
        [
            label,
            f"{record.parameters.adapter:,}",
            f"{record.parameters.head:,}",
            f"{record.parameters.total:,}",
            f"{record.operations.train / 1e9:,.2f}",
            f"{record.operations.score / 1e9:,.2f}",
            f"{record.memory.step / 1e6:,.1f}",
            _rate(record.speed.train),
            _rate(record.speed.score),
            _rate(record.speed.score_merged),
        ]
        for label, record in zip(_labels(records), records, strict=True)
    ]


def _ratios(records: Sequence[Efficiency]) -> list[list[str]]:
    return [
        [
            label,
            record.against.method,
            _ratio(record.against.train),
            _ratio(record.against.score),
            _ratio(record.against.score_merged),
            f"x{record.against.memory:.3f}",
            f"x{record.against.train_operations:.3f}",
            f"x{record.against.score_operations:.3f}",
        ]
        for label, record in zip(_labels(records), records, strict=True)
    ]


def _environment(records: Sequence[Efficiency]) -> str:
    """Return the environments of a group's records as a list, each once."""
    columns = {
        f"torch {record.environment.versions.get('torch', '?')}, {record.environment.threads} CPU threads, "
        f"rounds: {record.rounds}, commit {record.environment.commit}"
        f"{' and changes' if record.environment.dirty else ''}"
        for record in records
    }
    return markdown.bullets(sorted(columns))


def _elsewhere() -> str:
    """Return the costs reported in the paper, which were measured on other hardware and with other code."""
    rows = published("costs")
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    lines = [
        [
            method,
            *(next((r["score"] for r in rows if (r["method"], r["metric"]) == (method, m)), NONE) for m in metrics),
        ]
        for method in dict.fromkeys(row["method"] for row in rows)
    ]
    source = "; ".join(dict.fromkeys(row["source"] for row in rows))
    return "\n\n".join(
        [
            "## Reported elsewhere",
            markdown.paragraph(f"Not measured here: {source}, which does not name the task."),
            markdown.table(["", *metrics], lines),
        ]
    )


def _rate(spread: Spread | None) -> str:
    return f"{spread.median:,.3g}" if spread else NONE


def _ratio(spread: Spread | None) -> str:
    return f"x{spread.median:.3f} ({spread.low:.2f}-{spread.high:.2f})" if spread else NONE
