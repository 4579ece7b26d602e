"""Text whose figures and verdicts come from the records: placeholders in braces are replaced by what the tables say.

A placeholder names its kind, then a table and one or several rows, as in `{result:cola/lora:all tasks}` or
`{answer:longer:ave|avs}`. The kinds are the methods of `Prose` that are listed in `KINDS`. A digit or a verdict outside
a placeholder is an error: nobody would renew it with the records.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from statistics import fmean, stdev

from audit import Measured, primary
from comparisons import ALL, Compared, Runs, Table, usual_runs
from reproduce import TASKS, TRIALS

from bench.report.estimates import Estimate
from bench.report.families import weights
from bench.report.standings import Gain, Interval

TITLES = {"ave": "AVE", "avs": "AVS", "refcoco": "RefCOCO", "refcoco_plus": "RefCOCO+", "refcocog": "RefCOCOg"}
WIDTH = 118
PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
VERDICT = re.compile(r"\b(?:in)?significan\w*|\b(?:undecided|yes|no|not shown)\b", re.IGNORECASE)
NUMBER = re.compile(r"\S*\d\S*|\b(?:two|three|four|five|six|seven|eight|nine|ten|thirds?|dozen)\b", re.IGNORECASE)
ALLOWED = re.compile(r"`[^`]*`|\]\([^()]*\)|\*significant\*|\b95% interval|\bbelow 0\.05\b|\bIoU 0\.5\b|<!--.*?-->")
"""What may stand in a template: code, targets of links, definitions, and comments."""


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
    """What placeholders stand for, by the records."""

    def __init__(self, measured: Measured, tables: Mapping[str, Table]) -> None:
        self._measured = measured
        self._tables = tables
        self._gains = {key: table.gains for key, table in tables.items()}
        self._runs: Runs = usual_runs(measured)

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
            return KINDS[kind](self, *arguments)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{match[0]}: there is no such kind, table, row or setting ({error})") from error
        except ValueError as error:
            raise ValueError(f"{match[0]}: {error}") from error

    def _chosen(self, table: str, rows: str) -> dict[str, Gain]:
        """Return the gains of rows, by name: "tasks" for the single tasks, or several names with | between them."""
        gains = self._gains[table]
        names = [name for name in gains if name != ALL] if rows == "tasks" else rows.split("|")
        return {name: gains[name] for name in names}

    def result(self, table: str, row: str) -> str:
        """Return "2.3 points more (+1.8 to +2.8, +3.7%; significant)"."""
        gain = self._gains[table][row]
        size = f"{abs(gain.points):.1f}"
        more = "equally much" if size == "0.0" else f"{size} points {'more' if gain.points > 0 else 'less'}"
        return f"{more} ({interval(gain.interval)}, {signed(gain.percent or 0.0)}%; {verdict(gain)})"

    def gain(self, table: str, row: str) -> str:
        """Return "+2.3 (+1.8 to +2.8)"."""
        return brief(self._gains[table][row])

    def points(self, table: str, row: str) -> str:
        """Return "+2.3"."""
        return signed(self._gains[table][row].points)

    def answer(self, table: str, rows: str) -> str:
        """Return the answer to whether the first method is better in all rows: Yes, No, In part, or Not shown."""
        verdicts = {gain.verdict for gain in self._chosen(table, rows).values()}
        if verdicts == {"better"}:
            return "Yes"
        return "No" if "worse" in verdicts else "In part" if "better" in verdicts else "Not shown"

    def verdicts(self, table: str, rows: str) -> str:
        """Return which rows are significant and which are not, with their gains."""
        sides: dict[bool, list[str]] = {True: [], False: []}
        for name, gain in self._chosen(table, rows).items():
            sides[is_significant(gain)].append(f"{TITLES.get(name, f'`{name}`')} {brief(gain)}")
        clear, unclear = (
            f"{listed(names)} {'are' if names[1:] else 'is'}" if names else "" for names in sides.values()
        )
        if not clear:
            return f"{unclear} not significant"
        return f"{clear} significant" + (f", {unclear} not" if unclear else "")

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
        false = [f"{name} is {gain.verdict}" for name, gain in gains if gain.verdict != expected]
        if false:
            raise ValueError(f"the records say otherwise: {', '.join(false)}")
        return words

    def score(self, method: str, task: str) -> str:
        """Return a method's mean test score on a task, or on all."""
        tasks = TASKS if task == ALL else (task,)
        return f"{fmean(fmean(map(primary, self._runs[name, method].values())) for name in tasks):.1f}"

    def lowest(self, method: str) -> str:
        """Return on how many of the tasks a method scores lowest of all adapters at their default sizes: "5 of 5"."""
        count = 0
        for task in TASKS:
            methods = (name for at, name in self._measured.runs("main") if at == task and name not in ("head", "full"))
            count += min(methods, key=lambda name: float(self.score(name, task))) == method
        return f"{count} of {len(TASKS)}"

    def ratio(self, a: str, b: str) -> str:
        """Return how many times as many parameters the first method trains, on the first task that has both."""
        runs = {**self._measured.runs("ablations"), **self._runs}
        task = next(task for task in TASKS if runs.get((task, a)) and runs.get((task, b)))
        first, second = (next(iter(runs[task, name].values())).parameters for name in (a, b))
        assert first and second, "completed runs count them"
        return f"{first.adapter / second.adapter:.1f}"

    def setting(self, method: str, name: str) -> str:
        """Return a method's setting, the same on all tasks."""
        (value,) = {record.spec.settings[name] for task in TASKS for record in self._runs[task, method].values()}
        return f"{value}"

    def seeds(self, table: str, row: str) -> str:
        """Return a comparison's number of seeds."""
        return str(self._gains[table][row].seeds)

    def runs(self) -> str:
        """Return the number of records."""
        return str(len(self._measured.records))

    def trials(self) -> str:
        """Return the number of trials of each search for a learning rate."""
        return str(TRIALS)

    def deviation(self, table: str, row: str = ALL) -> str:
        """Return the deviation over seeds of a difference."""
        return f"{self._tables[table].rows[row].mean_difference.deviation:.2f}"

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


KINDS: dict[str, Callable[..., str]] = {
    kind.__name__: kind
    for kind in (
        *(Prose.result, Prose.gain, Prose.points, Prose.seeds, Prose.score, Prose.lowest, Prose.ratio, Prose.setting),
        *(Prose.answer, Prose.verdicts, Prose.better, Prose.worse, Prose.undecided),
        *(Prose.runs, Prose.trials, Prose.deviation, Prose.independent, Prose.wider),
    )
}


def is_significant(gain: Gain) -> bool:
    """Return whether a gain or a loss is decided."""
    return gain.verdict in ("better", "worse")


def verdict(gain: Gain) -> str:
    """Return whether a gain is significant, in words."""
    return (
        "too few seeds"
        if gain.verdict == "too few seeds"
        else "significant"
        if is_significant(gain)
        else "not significant"
    )


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign; 0 has a plus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def interval(bounds: Interval | None, digits: int = 1) -> str:
    """Return an interval as text: "-0.4 to +4.0"; "too few seeds" without one."""
    return f"{signed(bounds.low, digits)} to {signed(bounds.high, digits)}" if bounds else "too few seeds"


def brief(gain: Gain) -> str:
    """Return a gain with its interval: "+2.3 (+1.8 to +2.8)"."""
    return f"{signed(gain.points)} ({interval(gain.interval)})"


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def wrapped(text: str) -> str:
    """Return Markdown with paragraphs and list items wrapped; headings, pictures, tables and comments stay."""
    blocks = []
    for block in text.strip().split("\n\n"):
        if block.startswith(("#", "!", "|", "<")):
            blocks.append(block)
            continue
        items = re.split(r"\n(?=- )", block)
        lines = [
            textwrap.fill(
                " ".join(item.split()),
                WIDTH,
                subsequent_indent="  " if item.startswith("- ") else "",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for item in items
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
