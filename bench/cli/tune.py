"""`bench tune`: search settings of methods with equally many trials, and write them for `bench run --settings`.

The searches are those of an experiment file, or the one of the options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from bench import __version__
from bench.cli.chosen_searches import add_chosen_searches, searches_of
from bench.cli.executor_arguments import add_executor, executor_of
from bench.cli.printing import print
from bench.cli.shared_arguments import add_place
from bench.config.describe import assignments, data_title
from bench.config.run_options import RunOptions
from bench.errors import Mistakes, UsageError
from bench.report.formatting import NONE

if TYPE_CHECKING:
    from bench.config.budget import BudgetFit
    from bench.config.experiment import SettingsSearch
    from bench.config.spec import Spec
    from bench.config.tuned_settings import Tuning
    from bench.execution.executor import Executor
    from bench.tuning.search import Search, Trial

GOING_ON = "what is finished is kept, and the same command continues"
"""As of `bench.cli`, for a signal before or after the trials."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench tune`."""
    add_chosen_searches(parser)
    add_place(parser)
    add_executor(parser)


def main(args: argparse.Namespace) -> int:
    """Run the command; return 1 if all trials of a method failed, else 0."""
    mistakes = Mistakes()
    executor: Executor | None = None
    with mistakes.gathered():
        executor = executor_of(args)
    chosen: list[SettingsSearch] = []
    with mistakes.gathered():
        chosen = searches_of(args)
    plans = [(search, *_plan(search, args, mistakes)) for search in chosen]
    mistakes.raise_if_any()
    from bench.config.tuned_settings import check_mergeable
    from bench.records import store
    from bench.tuning.search import searches  # imports optuna and scipy

    planned = []
    for search, specs, fits in plans:
        try:
            tuning = _tuning(search, specs)
            check_mergeable(search.out, tuning)
            planned.append(_Planned(search.out, tuning, searches(specs), fits, data_title(specs[0].data)))
        except UsageError as error:
            _add(error, search, args, mistakes)
    mistakes.raise_if_any()
    store.check_writable(args.results / store.TRIALS)
    worst = 0
    if not planned and not args.quiet:
        print("these stages use settings of no search: there is nothing to do")
    for number, job in enumerate(planned, 1):
        if args.experiment and job.is_finished():
            if not args.quiet:
                print(f"{job.out} has all settings of its search; to search again, delete it")
            continue
        if args.experiment and not args.quiet:
            print(f"search {number} of {len(planned)}, for {job.out}: {job.title}")
        try:
            worst = max(worst, _tune(job, args, executor))
        except KeyboardInterrupt:
            print(f"stopped: {job.progress}; the same command continues", file=sys.stderr)
            return 1
    return worst


@dataclass
class _Planned:
    """A search that can start.

    Attributes:
        out: The file that it writes.
        tuning: Its parameters.
        searches: A search for each method on each task.
        fits: What the budget came to.
        data: What the data is, for a heading.
        ended: The number of trials that have ended.
    """

    out: Path
    tuning: Tuning
    searches: Sequence[Search]
    fits: Sequence[BudgetFit]
    data: str
    ended: int = 0

    @property
    def total(self) -> int:
        """The number of trials."""
        return self.tuning.trials * len(self.searches)

    @property
    def title(self) -> str:
        """Its methods and tasks."""
        methods, tasks = (
            ", ".join(dict.fromkeys(getattr(search, name) for search in self.searches)) for name in ("method", "task")
        )
        return f"{methods} on {tasks}"

    @property
    def progress(self) -> str:
        """How many of its trials have ended."""
        return f"{self.ended} of {_count(self.total, 'trial')} ended"

    def is_finished(self) -> bool:
        """Return whether the file has settings for all of its methods and tasks."""
        from bench.config.tuned_settings import read_tuned

        return self.out.exists() and {(search.task, search.method) for search in self.searches} <= {
            *read_tuned(self.out).values
        }


def _plan(search: SettingsSearch, args: argparse.Namespace, mistakes: Mistakes) -> tuple[list[Spec], list[BudgetFit]]:
    """Return the runs of a search's first trials, and what the budget came to; add mistakes to the others."""
    from bench.execution.planning import plan_runs

    request = search.request
    epochs = [f"{task}.epochs={search.epochs}" for task in request.tasks if search.epochs]
    try:
        return plan_runs(replace(request, overrides=[*request.overrides, *epochs]), args.data_root)
    except UsageError as error:
        _add(error, search, args, mistakes)
        return [], []


def _add(error: UsageError, search: SettingsSearch, args: argparse.Namespace, mistakes: Mistakes) -> None:
    """Add the mistakes in a search to the others, with the experiment file and the search's keys in it."""
    for problem in error.problems:
        in_file = f"{args.experiment}: " * bool(args.experiment)
        known = any(earlier.endswith(f": {problem}") for earlier in mistakes.problems)  # of data, or at the file's top
        if not known:
            place = f"{search.place}: " * bool(search.place and not problem.startswith((search.place, "set.")))
            mistakes.add(f"{in_file}{place}{problem}")


def _tune(job: _Planned, args: argparse.Namespace, executor: Executor | None) -> int:
    """Do the trials of a search, and return its exit code, as for `main`.

    Raises:
        KeyboardInterrupt: It was stopped; what has ended is kept.
    """
    from bench.config.tuned_settings import write_tuned
    from bench.records import store
    from bench.tuning.search import tune

    results, tuning = args.results / store.TRIALS, job.tuning
    if not args.quiet:
        for fit in job.fits:
            print(fit.summary)
        print(f"{_count(job.total, 'trial')}, {tuning.trials} per method and task, each with {_conditions(tuning)}")
        print("Chosen by validation score; no test split is scored.", flush=True)
    options = RunOptions(args.data_root, args.device)
    for trial in tune(job.searches, tuning.trials, results, options, executor):
        job.ended += 1
        if not args.quiet:
            print(f"[{job.ended}/{job.total}] {_outcome(trial)}", flush=True)
    print(f"\nsuite {tuning.suite}, {job.data}: validation scores\n\n{_table(job.searches)}\n")
    for search in job.searches:
        _warn(search)
    best = {(search.task, search.method): search for search in job.searches if search.best and search.is_equal}
    if best:
        values = {pair: search.best.values for pair, search in best.items() if search.best}
        write_tuned(job.out, tuning, values, {pair: _about(search) for pair, search in best.items()})
        reader = args.experiment or "--settings"
        print(f"records of the trials: {results / store.FOLDER}\nsettings, for bench run {reader}: {job.out}")
    unfinished = sum(trial.machine_failed for search in job.searches for trial in search.trials)
    if unfinished:
        print(
            f"the machine failed runs of {_count(unfinished, 'trial')}, and nothing is written for their methods: the "
            "same command repeats them",
            file=sys.stderr,
        )
    return int(unfinished > 0 or len(best) < len(job.searches))


def _tuning(search: SettingsSearch, plan: Sequence[Spec]) -> Tuning:
    from bench.config.tuned_settings import Tuning

    return Tuning(
        suite=plan[0].suite,
        trials=search.trials,
        epochs=search.epochs or "suite",
        seeds=tuple(sorted({spec.seed for spec in plan})),
        set=tuple(search.request.overrides),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        budget=search.request.budget or "none",
        data_version=plan[0].data.get("version", 0),
    )


def _conditions(tuning: Tuning) -> str:
    """Return the epochs and seeds, which all trials share."""
    epochs = "the suite's epochs" if tuning.epochs == "suite" else _count(tuning.epochs, "epoch")
    return f"{epochs}, seed{'s' * (len(tuning.seeds) > 1)} {', '.join(map(str, tuning.seeds))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _outcome(trial: Trial) -> str:
    label = f"{trial.task} {trial.method} {assignments(trial.values)}"
    if trial.score is None:
        return f"{label} failed: {trial.reason}"
    return f"{label}: validation {trial.metric} {trial.score:.2f}"


def _score(trial: Trial | None) -> str:
    return NONE if trial is None or trial.score is None else f"{trial.score:.2f}"


def _table(all_searches: Sequence[Search]) -> str:
    """Return a row for each method and task; the column `suite's` has the score with the suite's values."""
    from bench.report.text_table import text_table

    lines = [
        [
            search.task,
            search.method,
            assignments(search.best.values) if search.best else NONE,
            search.best.metric if search.best else NONE,
            _score(search.best),
            _score(search.trials[0]),
            f"{search.failed} of {len(search.trials)}",
        ]
        for search in all_searches
    ]
    return text_table(["task", "method", "best", "metric", "score", "suite's", "failed"], lines, "llllr")


def _warn(search: Search) -> None:
    """Warn about failed trials, and about values at the edge of their range."""
    name = f"{search.method} on {search.task}"
    if search.failed:
        print(f"{name}: {_failures(search)}, counted as the worst", file=sys.stderr)
    if search.best is None:
        print(
            f"{name}: all trials failed, so no settings are written; the first one: {search.trials[0].reason}",
            file=sys.stderr,
        )
        return
    for dimension in search.at_edge:
        value = search.best.values[dimension.name]
        print(
            f"{name}: the best {dimension.name}, {value:g}, is at the edge of its range ({dimension.description}): "
            "a better value may be beyond it; to search around it, write to another file, with "
            f"{search.method}.{dimension.name}={value:g} set",
            file=sys.stderr,
        )


def _failures(search: Search) -> str:
    return f"{search.failed} of {_count(len(search.trials), 'trial')} failed"


def _about(search: Search) -> str:
    """Return the comment of a method on a task in the settings file."""
    best, first = search.best, search.trials[0]
    assert best
    score = f"validation {best.metric} {_score(best)}"
    parts = ["; ".join(dimension.description for dimension in search.dimensions)]
    if best is first:
        parts.append(f"{score}, with the suite's own values")
    else:
        parts.append(f"{score}; with the suite's {assignments(first.values)}: {_score(first)}")
    parts += [f"{dimension.name} at the edge of its range" for dimension in search.at_edge]
    parts += [_failures(search)] if search.failed else []
    return "; ".join(parts)
