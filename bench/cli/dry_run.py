"""The plan that `bench run --dry-run` prints: the runs, which of them are finished, and an estimate of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.cli.printing import print
from bench.execution.estimate import EarlierRuns, Estimate, folders_with_records
from bench.execution.planning import PlannedRun, RunPlan
from bench.records.schema import Record
from bench.report.formatting import NONE, duration, ranges, runs
from bench.report.text_table import text_table
from bench.text import escape

_HEADER = ("stage", "task", "method", "worlds", "seeds", "runs", "finished", "per run", "time", "estimated from")


def print_plan(plan: RunPlan, finished: Mapping[str, Record], results: Path, jobs: int) -> None:
    """Print a line for each stage, task and method, and the totals.

    Args:
        plan: The runs.
        finished: The records of runs that are not repeated, by id.
        results: The results folder.
        jobs: Number of runs at a time.
    """
    earlier = EarlierRuns(folders_with_records(results))
    groups: dict[tuple[str, str, str], list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault((run.stage, run.spec.task, run.label), []).append(run)
    lines = []
    used: list[Estimate] = []
    seconds, unknown = 0.0, 0
    for names, members in groups.items():
        todo = sum(run.spec.id not in finished for run in members)
        estimate = earlier.estimate(members[0].spec)
        if estimate and todo:
            used.append(estimate)
            seconds += todo * estimate.seconds
        elif todo:
            unknown += todo
        lines.append(
            [
                *names,
                ranges(run.world for run in members if run.world is not None),
                ranges(run.spec.seed for run in members),
                len(members),
                len(members) - todo,
                *_estimate_cells(estimate, todo),
            ]
        )
    missing = {0} if not any(run.stage for run in plan.runs) else set()
    missing |= {3} if all(run.world is None for run in plan.runs) else set()
    shown = [[str(cell) for column, cell in enumerate(line) if column not in missing] for line in (_HEADER, *lines)]
    print(text_table(shown[0], shown[1:], "l" * (len(shown[0]) - 5) + "rrrrl"))
    todo = len(plan.runs) - sum(run.spec.id in finished for run in plan.runs)
    failed = sum(record.outcome == "failed" for record in finished.values())
    print(
        f"\n{runs(len(plan.runs))}: {len(plan.runs) - todo} finished, {todo} to do"
        + f"; {failed} of the finished failed (--retry-failed repeats them)" * bool(failed)
    )
    if plan.repeated:
        print(f"requested again by a later stage or under another label, and done once: {runs(len(plan.repeated))}")
    if todo:
        print(_total(seconds, jobs, todo, unknown))
    for line in _sources(used):
        print(escape.line(line))


def _estimate_cells(estimate: Estimate | None, todo: int) -> list[str]:
    """Return the time of each run, that of the runs to do, and what they were estimated from."""
    if estimate is None:
        return ["unknown", "unknown" if todo else NONE, "no comparable record"]
    source = f"{len(estimate.records)} record{'s' * (len(estimate.records) > 1)}"
    return [
        duration(estimate.seconds),
        duration(todo * estimate.seconds) if todo else NONE,
        source if estimate.same_settings else f"{source} with other settings",
    ]


def _total(seconds: float, jobs: int, todo: int, unknown: int) -> str:
    if unknown == todo:
        return "estimated time: unknown, since there are no records of comparable runs"
    parallel = f"; {duration(seconds / jobs)} with {jobs} at a time" if jobs > 1 else ""
    missing = f"; without {runs(unknown)} of unknown time" if unknown else ""
    return f"estimated time: {duration(seconds)}, one run at a time{parallel}{missing}"


def _sources(estimates: Iterable[Estimate]) -> list[str]:
    """Return a line for each folder and kind of machine that times were estimated from."""
    sources: dict[tuple[Path, str], set[str]] = {}
    for estimate in estimates:
        for record in estimate.records:
            sources.setdefault((estimate.folder, _machine(record)), set()).add(record.id)
    return [
        f"estimated from the median wall times of {len(ids)} record{'s' * (len(ids) > 1)} in {folder} ({machine})"
        for (folder, machine), ids in sources.items()
    ]


def _machine(record: Record) -> str:
    """Return the machine of a record in a few words: device, processor, threads, and runs at a time."""
    if (environment := record.environment) is None:
        return "machine unknown"
    threads = f"{environment.threads} thread{'s' * (environment.threads > 1)}"
    parts = [environment.device, environment.processor, threads, f"{environment.jobs or 1} at a time"]
    return ", ".join(part for part in parts if part)
