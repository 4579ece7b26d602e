"""Which scores, and which gains, tables show split by split."""

from __future__ import annotations

from bench.report.grouping import Table
from bench.report.row_scores import primary_score

_METRICS = 3  # of each split


def by_split(table: Table) -> list[tuple[str, str]]:
    """Return the metrics to show split by split, each with its split: the first ones that the split has in any run.

    There are none if the task has a single test split, whose scores are those of the whole.
    """
    if len(table.splits) <= 2:
        return []
    scored = [scores.splits or {} for record in table.records if (scores := record.scores)]
    shown = {
        split: [metric for metric in table.metrics if any(metric in splits.get(split, {}) for splits in scored)]
        for split in table.splits
    }
    return [(metric, split) for metric in table.metrics for split in table.splits if metric in shown[split][:_METRICS]]


def splits_with_gains(table: Table) -> list[str]:
    """Return the test splits that have the primary score, in any run; none if there is only one, as in `by_split`.

    A split without it, such as that of Ref-AVS for what is not there, has nothing to compare.
    """
    splits = [
        split
        for split in table.splits
        if split != "val" and any(primary_score(record, split) is not None for record in table.records)
    ]
    return splits if len(splits) > 1 else []
