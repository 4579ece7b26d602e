"""The overview of a section: all methods in the mean over its tasks, and on each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.report.standings import Gain, MeanScore, Rank, SectionStandings, Standing


@dataclass(frozen=True)
class Overall:
    """A method over all tasks of a section.

    Attributes:
        label: The label of its rows.
        gain: Its gain over the reference in the mean over tasks; None for the reference, and if a task lacks it.
        score: Its score in the mean over tasks; None if a task lacks it.
        rank: Its rank, averaged over tasks; None if a task lacks it.
        by_task: Its standing on each task; None where it has none.
    """

    label: str
    gain: Gain | None
    score: MeanScore | None
    rank: Rank | None
    by_task: list[Standing | None]


def overall(standings: SectionStandings, reference: str) -> list[Overall]:
    """Return the methods of a section, the highest mean gain first; those that a task lacks come last."""
    ranks = {rank.label: rank for rank in standings.ranks}
    by_task = [{standing.row.label: standing for standing in task.standings} for task in standings.tasks]
    labels = dict.fromkeys(label for by_label in by_task for label in by_label)
    rows = [
        Overall(
            label,
            standings.mean_gains.get(label),
            standings.mean_scores.get(label),
            ranks.get(label),
            [by_label.get(label) for by_label in by_task],
        )
        for label in labels
    ]

    def order(row: Overall) -> tuple[bool, float, float]:
        points = 0.0 if row.label == reference else row.gain.points if row.gain else -math.inf
        return row.score is None, -points, -row.score.mean if row.score else 0.0

    return sorted(rows, key=order)


def has_overview(standings: SectionStandings) -> bool:
    """Return whether a section has several tasks and any scores."""
    return len(standings.tasks) > 1 and any(task.standings for task in standings.tasks)
