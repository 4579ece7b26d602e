"""What the placeholders of this folder's templates stand for, besides those of every finding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import mul
from statistics import stdev

from comparisons import usual_runs
from study import TASKS, TRIALS

from bench.report.estimates import Estimate
from bench.report.families import weights
from bench.report.finding import prose
from bench.report.finding.comparisons import ALL, Compared, Table
from bench.report.finding.measured import Measured, Runs
from bench.report.finding.words import interval
from bench.report.standings import Interval

TITLES = {"ave": "AVE", "avs": "AVS", "refcoco": "RefCOCO", "refcoco_plus": "RefCOCO+", "refcocog": "RefCOCOg"}


class Prose(prose.Prose):
    """What placeholders stand for, by the records."""

    kinds = prose.Prose.kinds | {"lowest", "independent", "wider"}

    def __init__(self, measured: Measured, tables: Mapping[str, Table]) -> None:
        super().__init__(measured, tables, usual_runs(measured), tasks=TASKS, titles=TITLES, trials=TRIALS)

    def _all_runs(self) -> Runs:
        return {**self._measured.runs("ablations"), **self._runs}

    def lowest(self, method: str) -> str:
        """Return on how many of the tasks a method scores lowest of all adapters at their default sizes: "5 of 5"."""
        count = 0
        for task in TASKS:
            methods = (name for at, name in self._measured.runs("main") if at == task and name not in ("head", "full"))
            count += min(methods, key=lambda name: float(self.score(name, task))) == method
        return f"{count} of {len(TASKS)}"

    def independent(self, table: str) -> str:
        """Return what this deviation would be if tasks varied independently."""
        return f"{self._independent(table):.2f}"

    def wider(self, table: str) -> str:
        """Return what the interval over all tasks would be with this deviation."""
        gain = self._over_tasks(table).mean_difference
        factor = self._independent(table) / (gain.deviation or 1.0)
        by_seed = tuple(gain.mean + factor * (score - gain.mean) for score in gain.by_seed)
        wide = Estimate(by_seed, gain.sample_variance, gain.sample_freedom).interval()
        return interval(Interval(*wide) if wide else None)

    def _over_tasks(self, table: str) -> Compared:
        return self._tables[table].rows[ALL]

    def _independent(self, table: str) -> float:
        seeds = len(self._over_tasks(table).mean_difference.by_seed)
        tasks = {name: row.mean_difference for name, row in self._tables[table].rows.items() if name != ALL}
        deviations = [stdev(estimate.by_seed[:seeds]) for estimate in tasks.values()]
        return math.hypot(*map(mul, weights([*tasks]), deviations))
