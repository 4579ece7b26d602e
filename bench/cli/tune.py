"""`bench tune`: search settings of methods with equally many trials, and write them for `bench run --settings`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from bench import __version__
from bench.cli.executor_arguments import add_executor, executor_of
from bench.cli.printing import print
from bench.cli.shared_arguments import add_budget, add_place, add_plan, check_target, run_request
from bench.config.describe import assignments, data_title
from bench.config.quantities import whole
from bench.config.run_options import RunOptions
from bench.errors import Mistakes
from bench.report.formatting import NONE

if TYPE_CHECKING:
    from bench.config.spec import Spec
    from bench.config.tuned_settings import Tuning
    from bench.execution.executor import Executor
    from bench.tuning.search import Search, Trial

GOING_ON = "what is finished is kept, and the same command continues"
"""As of `bench.cli`, for a signal before or after the trials."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench tune`."""
    add_plan(parser)
    add_budget(parser)
    parser.add_argument(
        "--trials",
        type=lambda text: whole(text, "--trials"),
        default=10,
        metavar="N",
        help="trials of each method on each task; the first has the suite's values (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=lambda text: whole(text, "--epochs"),
        metavar="N",
        help="epochs of each trial (default: the suite's)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write the settings (default: RESULTS/tuned.toml)"
    )
    add_place(parser)
    add_executor(parser)


def main(args: argparse.Namespace) -> int:
    """Run the command; return 1 if all trials of a method failed, else 0."""
    from bench.execution.planning import plan_runs

    mistakes = Mistakes()
    executor: Executor | None = None
    with mistakes.gathered():
        executor = executor_of(args)
    request = run_request(args)
    epochs = [f"{task}.epochs={args.epochs}" for task in request.tasks if args.epochs]
    request = replace(request, overrides=[*request.overrides, *epochs])
    plan, fits = mistakes.checked(lambda: plan_runs(request, args.data_root))
    from bench.config.tuned_settings import check_mergeable, write_tuned
    from bench.records import store
    from bench.tuning.search import searches, tune  # imports optuna and scipy

    all_searches = searches(plan)
    tuning = _tuning(args, plan)
    out: Path = args.out or args.results / "tuned.toml"
    check_target(out, "--out", args.results)
    check_mergeable(out, tuning)
    results = args.results / store.TRIALS
    store.check_writable(results)
    total = args.trials * len(all_searches)
    if not args.quiet:
        for fit in fits:
            print(fit.summary)
        print(f"{_count(total, 'trial')}, {args.trials} per method and task, each with {_conditions(tuning)}")
        print("Chosen by validation score; no test split is scored.", flush=True)
    ended = 0
    try:
        for trial in tune(all_searches, args.trials, results, RunOptions(args.data_root, args.device), executor):
            ended += 1
            if not args.quiet:
                print(f"[{ended}/{total}] {_outcome(trial)}", flush=True)
    except KeyboardInterrupt:
        print(f"stopped: {ended} of {_count(total, 'trial')} ended; the same command continues", file=sys.stderr)
        return 1
    print(f"\nsuite {tuning.suite}, {data_title(plan[0].data)}: validation scores\n\n{_table(all_searches)}\n")
    for search in all_searches:
        _warn(search)
    best = {(search.task, search.method): search for search in all_searches if search.best}
    if best:
        values = {pair: search.best.values for pair, search in best.items() if search.best}
        write_tuned(out, tuning, values, {pair: _about(search) for pair, search in best.items()})
        print(f"records of the trials: {results / store.FOLDER}\nsettings, for bench run --settings: {out}")
    unfinished = sum(trial.machine_failed for search in all_searches for trial in search.trials)
    if unfinished:
        print(
            f"the machine failed runs of {_count(unfinished, 'trial')}: the same command repeats them", file=sys.stderr
        )
    return int(unfinished > 0 or len(best) < len(all_searches))


def _tuning(args: argparse.Namespace, plan: Sequence[Spec]) -> Tuning:
    from bench.config.tuned_settings import Tuning

    return Tuning(
        suite=plan[0].suite,
        trials=args.trials,
        epochs=args.epochs or "suite",
        seeds=tuple(sorted({spec.seed for spec in plan})),
        set=tuple(args.set),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        budget=args.budget or "none",
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
            "a better value may be beyond it; to search around it, use another --out and --set "
            f"{search.method}.{dimension.name}={value:g}",
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
