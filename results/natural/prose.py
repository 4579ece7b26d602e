"""What the placeholders of this folder's template stand for, besides those of every finding: natural beside mini."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from comparisons import ADAPTERS, LABELS, QUESTIONS, TITLES, usual_runs
from study import TASKS, TRIALS

from bench.report.finding import prose
from bench.report.finding.agreement import Agreement, agreement
from bench.report.finding.comparisons import Table
from bench.report.finding.measured import Measured, Runs
from bench.report.finding.words import brief, verdict
from bench.text.markdown import table as markdown

GROUPS: Mapping[str, Sequence[str]] = {"all": LABELS, "adapters": ADAPTERS}

FAIR_TAU = 0.5
"""Kendall's tau-b of a fair proxy: without ties, three of four pairs of methods stand in the same order."""


class Prose(prose.Prose):
    """What placeholders stand for, by the records of both suites."""

    kinds = prose.Prose.kinds | {"order", "fair", "fair_tau", "pairs", "clear", "methods", "side_by_side"}

    def __init__(self, measured: Measured, tables: Mapping[str, Table], runs_of_mini: Runs) -> None:
        runs = {**measured.runs("controls"), **usual_runs(measured)}
        super().__init__(measured, tables, runs, tasks=TASKS, titles=TITLES, trials=TRIALS)
        self._agreements = {
            group: agreement(usual_runs(measured), runs_of_mini, TASKS, labels) for group, labels in GROUPS.items()
        }

    def _agreement(self, group: str) -> Agreement:
        if (item := self._agreements[group]) is None:
            raise prose.NotMeasuredError
        return item

    def order(self, group: str) -> str:
        """Return "+0.62 (-0.10 to +0.90)": Kendall's tau-b of "all" methods or of "adapters", with its interval."""
        item = self._agreement(group)
        return f"{item.tau:+.2f} ({item.interval.low:+.2f} to {item.interval.high:+.2f})"

    def fair(self, group: str) -> str:
        """Return whether mini orders methods as natural does: Yes, No, or Not shown, by the interval of tau-b."""
        if (item := self._agreements[group]) is None:
            return prose.NOT_MEASURED.capitalize()
        return "Yes" if item.interval.low >= FAIR_TAU else "No" if item.interval.high < FAIR_TAU else "Not shown"

    def fair_tau(self) -> str:
        """Return the tau-b from which a suite counts as a fair proxy."""
        return f"{FAIR_TAU}"

    def pairs(self, group: str) -> str:
        """Return "24 of 30": how many pairs of methods both suites order alike, on the same task."""
        item = self._agreement(group)
        return f"{item.alike} of {item.pairs}"

    def clear(self, group: str) -> str:
        """Return "5 of 6": how many of the pairs whose difference is clear in both suites they order alike."""
        item = self._agreement(group)
        return f"{item.clear_alike} of {item.clear}"

    def methods(self, group: str) -> str:
        """Return the number of methods that are ordered."""
        return str(len(self._agreement(group).labels))

    def side_by_side(self) -> str:
        """Return each question's gains on both suites, task by task, as a Markdown table."""
        lines = []
        for question in QUESTIONS:
            for task in TASKS:
                cells = []
                for key in (f"mini {question.key}", question.key):
                    gain = self._tables[key].gains.get(task)
                    cells.append(f"{brief(gain)}, {verdict(gain)}" if gain else prose.NOT_MEASURED)
                lines.append([f"{question.title}: {TITLES[task]}", *cells])
        return markdown(["", "mini", "natural"], lines)
