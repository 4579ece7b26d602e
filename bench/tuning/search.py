"""The search for settings by validation score, with equal numbers of trials, epochs and seeds for every method."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import TPESampler
from scipy.stats.qmc import Halton

from bench.config.plan import with_values
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import Mistakes, UsageError
from bench.execution.executor import Executor
from bench.execution.finished_runs import look_up
from bench.execution.sweep import sweep
from bench.records.copies import origin_differs
from bench.records.schema import Record
from bench.tuning.search_space import Dimension, dimensions

_log = logging.getLogger(__name__)

_SPREAD = 4  # evenly spread trials after the first; a fixed number, so that a longer search can continue a shorter one
_SEED = 0  # of the sampler


@dataclass(frozen=True)
class Trial:
    """One trial of a method on a task.

    Attributes:
        task: Name of the task.
        method: Name of the method.
        number: Number of the trial, from 1.
        values: The settings tried.
        metric: The primary metric; "" if a run failed.
        score: Best primary validation score, averaged over the seeds; None if a run failed.
        reason: Why a run failed.
        machine_failed: Whether that says nothing about the values: a run was stopped, or memory ran short.
    """

    task: str
    method: str
    number: int
    values: Mapping[str, Any]
    metric: str = ""
    score: float | None = None
    reason: str | None = None
    machine_failed: bool = False


class Search:
    """The trials of one method on one task: `ask` for the runs of the next one, then `tell` their records.

    The search is deterministic. The first trial has the suite's own values, the next ones are spread evenly over the
    ranges, at the same positions for every method, and all further ones are sampled near good trials (TPE).

    Attributes:
        task: Name of the task.
        method: Name of the method.
        dimensions: The settings to search.
        trials: The completed trials, in order.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        """Start a search.

        Args:
            specs: The runs with the suite's values, one per seed.

        Raises:
            UsageError: The search that the method declares is invalid.
        """
        self.task, self.method = specs[0].task, specs[0].method
        self.dimensions = dimensions(specs[0])
        self.trials: list[Trial] = []
        self._specs = specs
        self._first: Record | None = None
        self._warned = False
        sampler = TPESampler(seed=_SEED, n_startup_trials=1 + _SPREAD)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._study.enqueue_trial({d.name: 0 if d.options else d.start for d in self.dimensions})
        spread = Halton(len(self.dimensions), scramble=False).random(2 + _SPREAD)[
            2:
        ]  # after the low ends and the middle
        for fractions in spread:
            self._study.enqueue_trial(
                {d.name: d.quantile(fraction) for d, fraction in zip(self.dimensions, fractions, strict=True)}
            )

    def ask(self) -> list[Spec]:
        """Return the runs of the next trial; none if the method rejects this combination of values."""
        self._study_trial = self._study.ask({d.name: d.distribution for d in self.dimensions})
        drawn = {d.name: d.value(self._study_trial.params[d.name]) for d in self.dimensions}
        values = drawn if self.trials else {d.name: d.start for d in self.dimensions}
        self._trial = Trial(self.task, self.method, len(self.trials) + 1, values)
        try:
            self._runs = [with_values(spec, values) for spec in self._specs]
        except UsageError as error:
            self._runs = []
            self._trial = replace(self._trial, reason=str(error))
        return self._runs

    def tell(self, records_by_id: Mapping[str, Record]) -> Trial:
        """Complete the last trial with the records of its runs, by id, and return it."""
        trial = self._trial
        records = [records_by_id[spec.id] for spec in self._runs]
        self._compare(records)
        scores = [_validation(record) for record in records]
        failed = [record for record, score in zip(records, scores, strict=True) if score is None]
        if failed:
            reason = failed[0].reason or "its validation score is not finite"
            by_machine = any(record.machine_failed for record in failed)
            trial = replace(trial, reason=f"seed {failed[0].spec.seed}: {reason}", machine_failed=by_machine)
        elif records and records[0].scores:
            mean = statistics.fmean(score for score in scores if score is not None)
            # Rounded, so that trials with as many right answers have equal scores whatever the order of summation: the
            # first of equal trials is the best.
            trial = replace(trial, metric=records[0].scores.metric, score=round(mean, 6))
        self._study.tell(self._study_trial, -math.inf if trial.score is None else trial.score)
        self.trials.append(trial)
        return trial

    def _compare(self, records: Sequence[Record]) -> None:
        """Warn once if code, encoders or samples of a run differ from those of the first run of the search."""
        self._first = self._first or next(iter(records), None)
        if self._first and not self._warned and any(origin_differs(self._first, record) for record in records):
            self._warned = True
            _log.warning(
                "trials of %s on %s had different code, encoders or data, or left out different samples: their scores "
                "are not comparable; delete their records and search again",
                *(self.method, self.task),
            )

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the first of equal ones; None if all failed."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0, default=None)

    @property
    def is_equal(self) -> bool:
        """Whether it had all of its trials: the machine failed none."""
        return not any(trial.machine_failed for trial in self.trials)

    @property
    def failed(self) -> int:
        """The number of failed trials."""
        return sum(trial.score is None for trial in self.trials)

    @property
    def at_edge(self) -> list[Dimension]:
        """The dimensions whose best value is at the edge of its range."""
        return [d for d in self.dimensions if self.best and d.at_edge(self.best.values[d.name])]


def searches(plan: Sequence[Spec]) -> list[Search]:
    """Return a search for every task and method of a plan, over its seeds.

    Raises:
        UsageError: Methods declare invalid searches; the message lists all of them.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    result = []
    mistakes = Mistakes()
    for task, method in dict.fromkeys((spec.task, spec.method) for spec in plan):
        with mistakes.gathered():
            result.append(Search([spec for spec in plan if (spec.task, spec.method) == (task, method)]))
    mistakes.raise_if_any()
    return result


def tune(
    running: Sequence[Search], trials: int, results: Path, options: RunOptions, executor: Executor | None = None
) -> Iterator[Trial]:
    """Run the trials, the first of every search, then the second of every search, and so on; yield them as they end.

    Runs that have a record are not repeated, so an interrupted search continues where it stopped. A trial depends only
    on earlier ones of its own search, so the results do not depend on the order in which the executor does the runs.

    Args:
        running: The searches.
        trials: Number of trials of each search.
        results: Results folder for the records of the trials' runs.
        options: Options of the command; test splits are never scored.
        executor: Executor of the runs; None to run them in this process.

    Raises:
        DataError: The data is missing or broken.
        UsageError: The data or the device does not exist.
        BenchError: A record cannot be written.
    """
    options = replace(options, results=None, save_adapters=False, validate_only=True)
    for _ in range(trials):
        runs = [spec for search in running for spec in search.ask()]
        existing = look_up(runs, results, options.data_root, trials=True)
        records_by_id = existing.finished
        todo = [spec for spec in runs if spec.id not in records_by_id]
        for record in sweep(todo, results, options, executor, superseded=existing.superseded):
            records_by_id[record.id] = record
        for search in running:
            yield search.tell(records_by_id)


def _validation(record: Record) -> float | None:
    """Return the best primary validation score of a run; None if the run failed or the score is not finite."""
    if record.scores is None:
        return None
    score = record.scores.validation[record.scores.best_epoch - 1].scores[record.scores.metric]
    return score if math.isfinite(score) else None
