"""Text whose figures and verdicts come from the records: placeholders in braces are replaced by what the tables say.

A placeholder names its kind, then a table and one or several rows, as in `{result:cola/lora:all tasks}` or
`{answer:longer:ave|avs}`. The kinds are the methods of `Prose` that its `kinds` names; a folder's scripts may add
others. A digit or a verdict outside a placeholder is an error: nobody would renew it with the records. Where there are
no records yet, the text says "not measured".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import ClassVar

from bench.records.schema import Record
from bench.report.finding.comparisons import ALL, Table
from bench.report.finding.measured import Measured, Runs, primary
from bench.report.finding.words import brief, interval, is_significant, listed, signed, verdict, wrapped
from bench.report.standings import Gain
from bench.text.markdown import table as markdown

NOT_MEASURED = "not measured"
PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
VERDICT = re.compile(r"\b(?:in)?significan\w*|\b(?:undecided|yes|no|not shown)\b", re.IGNORECASE)
NUMBER = re.compile(r"\S*\d\S*|\b(?:two|three|four|five|six|seven|eight|nine|ten|thirds?|dozen)\b", re.IGNORECASE)
ALLOWED = re.compile(r"`[^`]*`|\]\([^()]*\)|\*significant\*|\b95% interval|\bbelow 0\.05\b|\bIoU 0\.5\b|<!--.*?-->")
"""What may stand in a template: code, targets of links, definitions, and comments."""


class NotMeasuredError(Exception):
    """There are no records of what a placeholder states."""


def check(template: str) -> None:
    """Check that no figure and no verdict stands in a template outside its placeholders.

    Raises:
        ValueError: One does; the message names it and its line.
    """
    for number, line in enumerate(template.splitlines(), 1):
        rest = ALLOWED.sub("", PLACEHOLDER.sub("", line))
        if fault := VERDICT.search(rest) or NUMBER.search(rest):
            raise ValueError(f"line {number}: {fault[0]!r} does not come from the records; put a placeholder: {line}")


class Prose:
    """What placeholders stand for, by the records.

    Args:
        measured: All records.
        tables: All comparisons, by a short name.
        runs: The records with the usual settings, of all seeds and sizes.
        titles: How tasks, and any rows of tables, are called, by name.
        tasks: The tasks, in the order of tables.
        trials: Number of trials of each search for a learning rate.
    """

    kinds: ClassVar[frozenset[str]] = frozenset(
        {
            *("result", "gain", "points", "seeds", "score", "ratio", "parameters", "setting", "floors", "rows"),
            *("answer", "verdicts", "better", "worse", "undecided", "runs", "trials", "deviation"),
        }
    )

    def __init__(
        self,
        measured: Measured,
        tables: Mapping[str, Table],
        runs: Runs,
        *,
        tasks: Sequence[str],
        titles: Mapping[str, str],
        trials: int,
    ) -> None:
        self._measured, self._tables, self._runs = measured, tables, runs
        self._tasks, self._titles, self._trials = tasks, titles, trials

    def fill(self, template: str) -> str:
        """Return a template with its placeholders replaced, and its paragraphs wrapped.

        Raises:
            ValueError: A placeholder is unknown, what it states is not so, or `check` finds a fault.
        """
        check(template)
        return wrapped(PLACEHOLDER.sub(self._replaced, template))

    def _replaced(self, match: re.Match[str]) -> str:
        kind, arguments = match[1], match[2].split(":") if match[2] else []
        try:
            if kind not in self.kinds:
                raise KeyError(kind)
            return str(getattr(self, kind)(*arguments))
        except NotMeasuredError:
            return NOT_MEASURED
        except (KeyError, TypeError) as error:
            raise ValueError(f"{match[0]}: there is no such kind, table, row or setting ({error})") from error
        except ValueError as error:
            raise ValueError(f"{match[0]}: {error}") from error

    def _gain(self, table: str, row: str) -> Gain:
        if row in self._tables[table].missing:
            raise NotMeasuredError
        return self._tables[table].gains[row]

    def _chosen(self, table: str, rows: str) -> dict[str, Gain | None]:
        """Return the gains of rows, by name: "tasks" for the single tasks, or several names with | between them.

        Raises:
            NotMeasuredError: None of them has records.
        """
        gains, missing = self._tables[table].gains, self._tables[table].missing
        names = [name for name in (*gains, *missing) if name != ALL] if rows == "tasks" else rows.split("|")
        chosen = {name: None if name in missing else gains[name] for name in names}
        if not any(chosen.values()):
            raise NotMeasuredError
        return chosen

    def result(self, table: str, row: str) -> str:
        """Return "2.3 points more (+1.8 to +2.8, +3.7%; significant)"."""
        gain = self._gain(table, row)
        size = f"{abs(gain.points):.1f}"
        more = "equally much" if size == "0.0" else f"{size} points {'more' if gain.points > 0 else 'less'}"
        return f"{more} ({interval(gain.interval)}, {signed(gain.percent or 0.0)}%; {verdict(gain)})"

    def gain(self, table: str, row: str) -> str:
        """Return "+2.3 (+1.8 to +2.8)"."""
        return brief(self._gain(table, row))

    def points(self, table: str, row: str) -> str:
        """Return "+2.3"."""
        return signed(self._gain(table, row).points)

    def answer(self, table: str, rows: str) -> str:
        """Return the answer to whether the first method is better in all rows.

        It is Yes, No, In part, Not shown, or Not measured.
        """
        try:
            verdicts = {gain.verdict if gain else None for gain in self._chosen(table, rows).values()}
        except NotMeasuredError:
            return NOT_MEASURED.capitalize()
        if verdicts == {"better"}:
            return "Yes"
        return "No" if "worse" in verdicts else "In part" if "better" in verdicts else "Not shown"

    def verdicts(self, table: str, rows: str) -> str:
        """Return which rows are significant and which are not, with their gains."""
        sides: dict[bool, list[str]] = {True: [], False: []}
        missing = []
        for name, gain in self._chosen(table, rows).items():
            title = self._titles.get(name, f"`{name}`")
            if gain is None:
                missing.append(title)
            else:
                sides[is_significant(gain)].append(f"{title} {brief(gain)}")
        clear, unclear = (
            f"{listed(names)} {'are' if names[1:] else 'is'}" if names else "" for names in sides.values()
        )
        decided = f"{clear} significant" + (f", {unclear} not" if unclear else "")
        text = decided if clear else f"{unclear} not significant"
        return text + (f"; {NOT_MEASURED}: {listed(missing)}" if missing else "")

    def better(self, *places: str) -> str:
        """Return "significant".

        Raises:
            ValueError: One of the rows is not a significant gain.
        """
        return self._stated(places, "better", "significant")

    def worse(self, *places: str) -> str:
        """Return "significant".

        Raises:
            ValueError: One of the rows is not a significant loss.
        """
        return self._stated(places, "worse", "significant")

    def undecided(self, *places: str) -> str:
        """Return "not significant".

        Raises:
            ValueError: One of the rows is significant, or has too few seeds.
        """
        return self._stated(places, "undecided", "not significant")

    def _stated(self, places: Sequence[str], expected: str, words: str) -> str:
        """Return words if all rows have a verdict; places are a table, its rows, another table, its rows, and so on."""
        stated = [self._chosen(*place) for place in zip(places[::2], places[1::2], strict=True)]
        gains = [item for chosen in stated for item in chosen.items()]
        verdicts = [(name, gain.verdict if gain else NOT_MEASURED) for name, gain in gains]
        false = [f"{name} is {verdict}" for name, verdict in verdicts if verdict != expected]
        if false:
            raise ValueError(f"the records say otherwise: {', '.join(false)}")
        return words

    def score(self, method: str, task: str) -> str:
        """Return a method's mean test score on a task, or on all."""
        tasks = self._tasks if task == ALL else (task,)
        return f"{fmean(fmean(map(primary, self._records(name, method).values())) for name in tasks):.1f}"

    def _records(self, task: str, method: str) -> Mapping[int, Record]:
        """Return the records of a method by seed, at least one."""
        if not (records := self._runs[task, method]):
            raise NotMeasuredError
        return records

    def floors(self, task: str) -> str:
        """Return the scores of answers that lack a modality: "only hears 17.6 and only reads 20.0"."""
        records = [record for (name, _), by_seed in self._runs.items() if name == task for record in by_seed.values()]
        if not records:
            raise NotMeasuredError
        assert records[0].scores, "completed runs have scores"
        floors = sorted(records[0].scores.floors.items(), key=lambda item: item[1])
        return listed([f"{name} {score:.1f}" for name, score in floors])

    def parameters(self, method: str, task: str) -> str:
        """Return the number of parameters that a method trains on a task, without those of the head."""
        return f"{_trained(self._records(task, method)):,}"

    def ratio(self, a: str, b: str) -> str:
        """Return how many times as many parameters the first method trains, on the first task that has both."""
        runs = self._all_runs()
        for task in self._tasks:
            if (first := runs.get((task, a))) and (second := runs.get((task, b))):
                return f"{_trained(first) / _trained(second):.1f}"
        if not {a, b} <= {label for _, label in runs}:
            raise KeyError(f"{a} or {b}")
        raise NotMeasuredError

    def _all_runs(self) -> Runs:
        """Return the records whose parameters `ratio` compares."""
        return self._runs

    def setting(self, method: str, name: str) -> str:
        """Return a method's setting, the same on all tasks."""
        records = [record for task in self._tasks for record in self._runs[task, method].values()]
        if not records:
            raise NotMeasuredError
        (value,) = {record.spec.settings[name] for record in records}
        return f"{value}"

    def seeds(self, table: str, row: str) -> str:
        """Return a comparison's number of seeds."""
        return str(self._gain(table, row).seeds)

    def runs(self) -> str:
        """Return the number of records."""
        return str(len(self._measured.records))

    def trials(self) -> str:
        """Return the number of trials of each search for a learning rate."""
        return str(self._trials)

    def deviation(self, table: str, row: str = ALL) -> str:
        """Return the deviation over seeds of a difference."""
        if (deviation := self._gain(table, row).deviation) is None:
            raise NotMeasuredError
        return f"{deviation:.2f}"

    def rows(self, *columns: str) -> str:
        """Return the gains in tables as a Markdown table, by row.

        A column is a table, or several with + between them, below one another; it has the title of the first.
        """
        shown = [[self._tables[name] for name in column.split("+")] for column in columns]
        names = dict.fromkeys(row for column in shown for table in column for row in (*table.rows, *table.missing))
        cells = [
            [self._titles.get(name, name), *(_cell([table.gains.get(name) for table in column]) for column in shown)]
            for name in names
        ]
        return markdown(["", *(column[0].title for column in shown)], cells)


def _cell(gains: Sequence[Gain | None]) -> str:
    """Return the gain of a row in those tables of a column that have it, which is one at most."""
    for gain in filter(None, gains):
        return f"{brief(gain)}, {verdict(gain)}" if gain.interval else brief(gain)
    return NOT_MEASURED


def _trained(records: Mapping[int, Record]) -> int:
    parameters = next(iter(records.values())).parameters
    assert parameters, "completed runs count them"
    return parameters.adapter
