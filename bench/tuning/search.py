"""Searches settings of methods by validation score: for each method and task as many trials, epochs and seeds."""

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

FOLDER = "tuning"
"""Results folder, within that of the runs, of the trials' records: they have no test scores."""

_log = logging.getLogger(__name__)

_SPREAD = 4  # trials after the first, evenly spread; always as many, so that a longer search goes on from a shorter one
_SEED = 0  # of the sampler


@dataclass(frozen=True)
class Trial:
    """One try of a method on a task.

    Attributes:
        task: name of the task.
        method: name of the method.
        number: from 1.
        values: what was tried.
        metric: the primary metric; "" where a run failed.
        score: mean over the seeds of the best primary validation score; None where a run failed.
        reason: why it failed.
    """

    task: str
    method: str
    number: int
    values: Mapping[str, Any]
    metric: str = ""
    score: float | None = None
    reason: str | None = None


class Search:
    """The trials of one method on one task: `ask` for the runs of the next one, then `tell` their records.

    The same records give the same trials. The first one has the suite's own values, the next ones are spread over the
    ranges, at the same places for every method, and the others are drawn where the earlier ones did well (TPE).

    Attributes:
        task: name of the task.
        method: name of the method.
        dimensions: what is searched.
        trials: those that were told, in their order.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        """Begin a search.

        Args:
            specs: the runs with the suite's values, one a seed.

        Raises:
            UsageError: the method declares a search that cannot be.
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
        for shares in spread:
            self._study.enqueue_trial({d.name: d.drawn(s) for d, s in zip(self.dimensions, shares, strict=True)})

    def ask(self) -> list[Spec]:
        """Return the runs of the next trial; none where the method does not take its values together."""
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
        """End the trial that was asked for last, with the records of its runs by id."""
        trial = self._trial
        records = [records_by_id[spec.id] for spec in self._runs]
        self._compare(records)
        scores = [_validation(record) for record in records]
        failed = [record for record, score in zip(records, scores, strict=True) if score is None]
        if failed:
            reason = failed[0].reason or "its validation score is not finite"
            trial = replace(trial, reason=f"seed {failed[0].spec.seed}: {reason}")
        elif records and records[0].scores:
            mean = statistics.fmean(score for score in scores if score is not None)
            # Rounded, so that as many right answers are equal however they were summed: of equals the first is best.
            trial = replace(trial, metric=records[0].scores.metric, score=round(mean, 6))
        self._study.tell(self._study_trial, -math.inf if trial.score is None else trial.score)
        self.trials.append(trial)
        return trial

    def _compare(self, records: Sequence[Record]) -> None:
        """Warn once where runs of the search were made with other code, encoders or samples than the first."""
        self._first = self._first or next(iter(records), None)
        if self._first and not self._warned and any(origin_differs(self._first, record) for record in records):
            self._warned = True
            _log.warning(
                "trials of %s on %s were made with different code, encoders or data, or a sample was left out in some: "
                "their scores do not compare; delete their records and search again",
                *(self.method, self.task),
            )

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the first of equals; None where all failed."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0, default=None)

    @property
    def failed(self) -> int:
        """How many trials failed."""
        return sum(trial.score is None for trial in self.trials)

    @property
    def at_edge(self) -> list[Dimension]:
        """Of which dimensions the best value lies at the edge."""
        return [d for d in self.dimensions if self.best and d.at_edge(self.best.values[d.name])]


def searches(plan: Sequence[Spec]) -> list[Search]:
    """Return a search for every task and method of a plan, over its seeds.

    Raises:
        UsageError: with every method that declares a search that cannot be.
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
    """Do the trials, the first of every search, then the second of each, and so on; yield them as they end.

    Runs that have a record are not done again, so what was interrupted goes on where it was. A trial depends on those
    of its own search only: the results are the same whatever the executor does first.

    Args:
        running: the searches.
        trials: of each search.
        results: results folder for the records of the trials' runs.
        options: what the command says of its runs; their test splits are not scored in any case.
        executor: does the runs, of one trial or of several searches; None for this process.

    Raises:
        DataError, UsageError: the data or the device is not there.
        BenchError: a record cannot be written.
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
    """Return the best primary validation score of a run; None where it failed, or gave no number."""
    if record.scores is None:
        return None
    score = record.scores.validation[record.scores.best_epoch - 1].scores[record.scores.metric]
    return score if math.isfinite(score) else None
