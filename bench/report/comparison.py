"""Comparison of two methods, task by task and in the mean over tasks, by the statistics of the leaderboard."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from textwrap import fill

import numpy as np

from bench.errors import UsageError, did_you_mean
from bench.records.schema import Record
from bench.report.families import weights
from bench.report.formatting import score
from bench.report.grouping import records_of_tasks, row_labels
from bench.report.leaderboard import GAIN_HEADER, gain_cells
from bench.report.over_worlds import NOTE, OverWorlds, over_worlds
from bench.report.standings import Gain, SectionStandings, Verdict, compute_standings
from bench.report.text_table import text_table
from bench.text import escape

_LEGEND = """\
Gain: {a} minus {b}, in points, over the seeds that both have; scores are over all seeds of each.
95% interval: over other seeds and test samples; over other seeds only, marked °, where the scores of single samples are
not stored.
p: after Holm's correction over all methods of the table, as in `bench leaderboard --reference {quoted}`."""


@dataclass(frozen=True)
class TaskComparison:
    """The comparison of two methods on one task, or in the mean over several tasks.

    Attributes:
        task: Name of the task; "mean of N tasks" for a mean.
        condition: Title of the section of the leaderboard: suite, data and changed settings.
        metric: The primary metric; empty for a mean.
        mean_a: Mean test score of the first method over all its seeds, in percent.
        mean_b: The same of the second method.
        gain: Gain of the first method over the second; None if they share no seed.
    """

    task: str
    condition: str
    metric: str
    mean_a: float
    mean_b: float
    gain: Gain | None

    @property
    def verdict(self) -> Verdict:
        """Whether the first method is "better" or "worse", or "undecided"."""
        return self.gain.verdict if self.gain else "undecided"


@dataclass(frozen=True, repr=False)
class Comparison:
    """The comparison of two methods. It prints as a table.

    Attributes:
        a: Label of the first method.
        b: Label of the second method.
        tasks: One comparison for each task and condition that has both methods.
        over_tasks: For each condition with several tasks, the comparison of the mean scores over all of them; none if a
            task lacks one of the methods.
        over_worlds: The comparison over the worlds that both have, on each task that has several, and over these tasks.
        left_out: Sentences on worlds that do not count there, since they share too few seeds with the rest.
    """

    a: str
    b: str
    tasks: list[TaskComparison]
    over_tasks: list[TaskComparison]
    over_worlds: list[TaskComparison] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        lines = [f"{self.a} compared with {self.b}"]
        every = (*self.tasks, *self.over_tasks, *self.over_worlds)
        for condition in dict.fromkeys(entry.condition for entry in (*self.tasks, *self.over_worlds)):
            entries = [entry for entry in every if entry.condition == condition]
            header = ["task", "metric", self.a, self.b, "seeds", *GAIN_HEADER]
            lines.append(f"{condition}\n\n{text_table(header, map(_cells, entries), 'llr')}")
        lines.append(_LEGEND.format(a=self.a, b=self.b, quoted=shlex.quote(self.b)))
        lines += [fill(note, 120) for note in [NOTE, *self.left_out] if self.over_worlds]
        return "\n\n".join(escape.terminal(line) for line in lines)


def compare(records: Iterable[Record], a: str, b: str, tasks: str | Iterable[str] | None = None) -> Comparison:
    """Compare two methods, task by task and in the mean over tasks.

    Gains, intervals, p-values and verdicts are those of the leaderboard with the second method as its reference.

    Args:
        records: Records of any runs, for example from `load_records`: all that the leaderboard would show, since
            p-values are corrected for all methods of a table.
        a: Label of the first method in the leaderboard, for example "cola" or "lora (r=12, alpha=6.0)".
        b: Label of the second method.
        tasks: Names of one or several tasks; None for all.

    Raises:
        UsageError: No record has this label or task, or no task and condition has both methods.
    """
    listed = records_of_tasks(records, tasks)
    labels = sorted(row_labels(listed))
    for label in (a, b):
        if label not in labels:
            raise UsageError(f"no row has the label {label}: {did_you_mean(label, labels)}")
    if a == b:
        raise UsageError(f"{a} cannot be compared with itself")
    standings = compute_standings(listed, reference=b)
    compared = [entry for section in standings for entry in _task_comparisons(section, a, b)]
    if not compared:
        raise UsageError(f"{a} and {b} share no task and condition: {_places(standings, a)}; {_places(standings, b)}")
    means = [mean for section in standings for mean in _mean_comparison(section, a, b)]
    comparison = Comparison(a, b, compared, means)
    for item in over_worlds(standings, b):
        entries = [*_in_worlds(item, a, b)]
        comparison.over_worlds.extend(entries)
        if entries and (sentence := item.left_out(a, b)):
            comparison.left_out.append(sentence)
    return comparison


def _task_comparisons(section: SectionStandings, a: str, b: str) -> list[TaskComparison]:
    compared = []
    for task in section.tasks:
        rows = {standing.row.label: standing for standing in task.standings}
        if a in rows and b in rows:
            title, metric = section.section.title, task.table.metrics[0]
            compared.append(TaskComparison(task.table.task, title, metric, rows[a].mean, rows[b].mean, rows[a].gain))
    return compared


def _mean_comparison(section: SectionStandings, a: str, b: str) -> list[TaskComparison]:
    """Return the comparison in the mean over the tasks of a section; none unless several tasks have both methods."""
    compared = _task_comparisons(section, a, b)
    if len(compared) < 2 or len(compared) < len(section.tasks):
        return []
    scores = [(entry.mean_a, entry.mean_b) for entry in compared]
    mean_a, mean_b = np.average(scores, axis=0, weights=weights([entry.task for entry in compared])).tolist()
    name = f"mean of {len(compared)} tasks"
    return [TaskComparison(name, section.section.title, "", mean_a, mean_b, section.mean_gains.get(a))]


def _in_worlds(item: OverWorlds, a: str, b: str) -> Iterator[TaskComparison]:
    """Yield the comparison over worlds on each task on which both methods have several."""
    for table in item.tables:
        rows = {row.label: row for row in table.rows}
        if a in rows and b in rows and (gain := rows[a].gain):
            yield TaskComparison(
                table.task, f"over worlds: {item.title}", table.metric, rows[a].mean, rows[b].mean, gain
            )


def _places(standings: Iterable[SectionStandings], label: str) -> str:
    """Return where a method has records, as text."""
    places = [
        f"{task.table.task} ({section.section.title})"
        for section in standings
        for task in section.tasks
        if any(standing.row.label == label for standing in task.standings)
    ]
    return f"{label} is on {', '.join(places)}"


def _cells(entry: TaskComparison) -> list[str]:
    seeds = str(entry.gain.seeds if entry.gain else 0)
    return [entry.task, entry.metric, score([entry.mean_a]), score([entry.mean_b]), seeds, *gain_cells(entry.gain)]
