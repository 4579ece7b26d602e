"""Multi-task training: one model for several targets, compared with one model per target."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from bench.report.formatting import NONE, score
from bench.report.grouping import Row, Section, Table
from bench.report.run_data import RunData
from bench.text import markdown


def multi_task_tables(section: Section) -> Iterator[tuple[str, str]]:
    """Yield heading and Markdown table for each task that was also trained for single targets (`task:target`).

    They are compared by the primary score for the target, over the seeds that both have. If their test splits have
    different samples, no seeds are compared.
    """
    tables = {table.task: table for table in section.tables}
    for task, table in tables.items():
        single_tables = {
            name.partition(":")[2]: single for name, single in tables.items() if name.startswith(f"{task}:")
        }
        if lines := [line for row in table.rows for line in _lines(row, table, single_tables)]:
            header = ["method", "target", "metric", "joint", "single", "difference", "seeds"]
            yield f"{task}, one model for all targets compared with one per target", markdown.table(header, lines)


def _lines(row: Row, joint_table: Table, single_tables: dict[str, Table]) -> Iterator[list[str]]:
    """Yield one line per target that the row's method was also trained for on its own."""
    for target, table in single_tables.items():
        single = next((candidate for candidate in table.rows if candidate.label == row.label), None)
        if single is None or not table.metrics:
            continue
        metric = table.metrics[0]
        joint_scores, single_scores = _by_seed(row, metric), _by_seed(single, metric)
        seeds = (
            sorted(joint_scores.keys() & single_scores.keys())
            if _same_test(joint_table.run_data, table.run_data)
            else []
        )
        differences = [joint_scores[seed] - single_scores[seed] for seed in seeds]
        yield [
            row.label,
            target,
            metric,
            score([joint_scores[seed] for seed in seeds], with_deviation=True),
            score([single_scores[seed] for seed in seeds], with_deviation=True),
            f"{statistics.fmean(differences):+.2f}" if differences else NONE,
            str(len(seeds)),
        ]


def _same_test(a: RunData | None, b: RunData | None) -> bool:
    return a is not None and b is not None and a.same_test(b)


def _by_seed(row: Row, metric: str) -> dict[int, float]:
    scores = {r.spec.seed: r.scores.test.get(metric, math.nan) for r in row.records if r.scores}
    return {seed: score for seed, score in scores.items() if math.isfinite(score)}
