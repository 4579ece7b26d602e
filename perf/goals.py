"""The table of goals: what is measured beside its target, from one run or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.measurement.speed import Ratio


@dataclass(frozen=True)
class Goal:
    """A row of the table of goals.

    Attributes:
        name: What is measured, with its unit unless it is a ratio.
        measured: The value of one run; a `Ratio` has quartiles too. None: not measured.
        target: The value to reach, if there is one.
        floor: The value below which no form of the same arithmetic can be, if it was measured.
        digits: Decimal places of the values.
    """

    name: str
    measured: Ratio | float | None
    target: float | None = None
    floor: float | None = None
    digits: int = 2

    @property
    def value(self) -> float | None:
        """The measured value; of a ratio, its median over the rounds."""
        return self.measured.times.median if isinstance(self.measured, Ratio) else self.measured


@dataclass(frozen=True)
class Run:
    """What one run measured.

    Attributes:
        streams: The name of the streams' size.
        goals: The rows of the table of goals, the same ones in each run; the first is CoLA's step ratio.
        tables: The tables after it, as Markdown.
    """

    streams: str
    goals: tuple[Goal, ...]
    tables: str


def median_run(runs: Sequence[Run]) -> Run:
    """Return the run whose step ratio of CoLA is the median one; of two in the middle, the lower."""
    return sorted(runs, key=lambda run: run.goals[0].value or 0.0)[(len(runs) - 1) // 2]


def goal_rows(runs: Sequence[Run]) -> list[tuple[str, str, str, str]]:
    """Return the cells of the table of goals: name, measured, target and floor.

    The values of one run stand as they are, ratios with quartiles; of several runs, the median with their minimum and
    maximum in brackets, unless all are equal when rounded. A floor is the median one.
    """
    return [_cells(goals) for goals in zip(*(run.goals for run in runs), strict=True)]


def _cells(goals: Sequence[Goal]) -> tuple[str, str, str, str]:
    first = goals[0]
    if any(goal.name != first.name for goal in goals):
        raise ValueError(f"runs have different rows: {[goal.name for goal in goals]}")
    floors = [goal.floor for goal in goals if goal.floor is not None]
    return (
        first.name,
        _measured(goals),
        "" if first.target is None else f"{first.target:g}",
        f"{median(floors):.{first.digits}f}" if floors else "",
    )


def _measured(goals: Sequence[Goal]) -> str:
    digits = goals[0].digits
    values = [goal.value for goal in goals if goal.value is not None]
    if not values:
        return "not measured: --run"
    if len(goals) == 1 and isinstance(goals[0].measured, Ratio):
        return str(goals[0].measured)
    middle, low, high = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"
