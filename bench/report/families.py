"""Families of tasks, which weigh alike in means over tasks.

Four grounding tasks ask nearly the same, so a mean over all tasks would mostly be one of grounding. A mean over tasks
is therefore taken over families: first within each, then over them. A task declares its family (`Task.family`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import registry
from bench.errors import BenchError
from bench.report import estimates
from bench.report.estimates import Estimate


def family(task: str) -> str:
    """Return the family of a task; its name if it has none, or no longer exists."""
    try:
        return getattr(registry.load("tasks", task), "family", "") or task
    except BenchError:
        return task


def families(tasks: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers of the tasks in each family, in the order of the tasks."""
    result: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        result.setdefault(family(task), []).append(number)
    return result


def weights(tasks: Sequence[str]) -> list[float]:
    """Return the weight of each task in a mean over tasks; they add up to 1."""
    grouped = families(tasks)
    sizes = {number: len(members) for members in grouped.values() for number in members}
    return [1 / (len(grouped) * sizes[number]) for number in range(len(tasks))]


def mean_estimate(by_task: Mapping[str, Estimate]) -> Estimate:
    """Return the estimate of the mean over families of the means within each; tasks of one family may share samples."""
    ordered = [*by_task.values()]
    members = ([ordered[number] for number in numbers] for numbers in families([*by_task]).values())
    return estimates.mean_of([estimates.mean_of(of_family, independent=False) for of_family in members])


def families_note(tasks: Sequence[str]) -> str:
    """Return a sentence on the families that have several of these tasks; empty if all tasks weigh alike."""
    grouped = families(tasks)
    shared = {name: members for name, members in grouped.items() if len(members) > 1}
    if not shared or len(grouped) == 1:
        return ""
    listed = "; ".join(f"{name}: {', '.join(tasks[number] for number in members)}" for name, members in shared.items())
    return f"Means over all tasks are over {len(grouped)} families, each the mean of its tasks ({listed})."
