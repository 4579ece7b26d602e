"""What training one model for several targets gains or loses against a model for each of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from bench.report.formatting import NONE, score
from bench.report.grouping import Row, Section, Table
from bench.report.held import Held
from bench.text import markdown


def multi_task_tables(section: Section) -> Iterator[tuple[str, str]]:
    """The heading and the table, in Markdown, of every task that was also trained for a target alone (`task:target`).

    Both are compared by the primary score of the task for that target, over the seeds that both have, and not at all
    where their test splits held other samples.
    """
    tables = {table.task: table for table in section.tables}
    for task, table in tables.items():
        alone = {name.partition(":")[2]: other for name, other in tables.items() if name.startswith(f"{task}:")}
        if lines := [line for row in table.rows for line in _lines(row, table, alone)]:
            header = ["method", "target", "score", "together", "alone", "difference", "seeds"]
            yield f"{task}, one model for all targets against one for each", markdown.table(header, lines)


def _lines(row: Row, own: Table, alone: dict[str, Table]) -> Iterator[list[str]]:
    """A line for each target that the row's method was also trained for alone."""
    for target, table in alone.items():
        other = next((other for other in table.rows if other.label == row.label), None)
        if other is None or not table.metrics:
            continue
        metric = table.metrics[0]
        together, single = _by_seed(row, metric), _by_seed(other, metric)
        seeds = sorted(together.keys() & single.keys()) if _same_test(own.held, table.held) else []
        differences = [together[seed] - single[seed] for seed in seeds]
        yield [
            row.label,
            target,
            metric,
            score([together[seed] for seed in seeds], with_deviation=True),
            score([single[seed] for seed in seeds], with_deviation=True),
            f"{statistics.fmean(differences):+.2f}" if differences else NONE,
            str(len(seeds)),
        ]


def _same_test(one: Held | None, other: Held | None) -> bool:
    return one is not None and other is not None and one.same_test(other)


def _by_seed(row: Row, metric: str) -> dict[int, float]:
    found = {r.spec.seed: r.scores.test.get(metric, math.nan) for r in row.records if r.scores}
    return {seed: score for seed, score in found.items() if math.isfinite(score)}
