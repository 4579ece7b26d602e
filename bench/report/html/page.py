"""leaderboard.html: a single file with data, style and scripts, which opens without a network.

The tables are plain HTML, so that they are visible without scripts. The scripts sort and filter them, and draw figures
from data that is embedded as JSON. A Content-Security-Policy allows only these scripts and this style, and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from string import Template
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from bench.config.reference import REFERENCE
from bench.records.schema import Record
from bench.report.grouping import Row
from bench.report.html.tables import mean_of, notes_list, overall_table, published_table, section_title, task_table
from bench.report.published import published_notes
from bench.report.standings import SectionStandings, Standing, TaskStandings
from bench.report.tradeoff import FORMULAS
from bench.text import escape

_FOLDER = Path(__file__).parent
_SCRIPTS = ("figures.js", "details.js", "page.js")  # the last one starts the page


def page(
    standings: Sequence[SectionStandings], published: Sequence[Mapping[str, Any]] = (), reference: str = REFERENCE
) -> str:
    """Return the leaderboard as one HTML file; equal input results in equal text.

    Args:
        standings: The standings of the records.
        published: Rows of `bench.report.published`, for a table of their own.
        reference: Label of the row that gains are relative to.
    """
    template, style, *scripts = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *_SCRIPTS)
    )
    policy = (
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_checksum(style)}; script-src {' '.join(map(_checksum, scripts))}"
    )
    return Template(template).substitute(
        policy=policy,
        style=style,
        counted=html.escape(escape.line(_counted(standings))),
        trade_offs=html.escape("; ".join(f"{name}: {formula}" for name, formula in FORMULAS.items())),
        reference=html.escape(escape.line(reference)),
        standings="".join(_markup(_section(section, number, reference)) for number, section in enumerate(standings)),
        published=_markup(_published(published)) if published else "",
        data=_json(plain(standings, reference)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def plain(standings: Sequence[SectionStandings], reference: str = REFERENCE) -> dict[str, Any]:
    """Return the data of the figures, in JSON types.

    Returns:
        `reference`: label of the row that gains are relative to. `tasks`: name, primary metric, condition and rows of
        each task, by the id of its article. `facts`: settings, environments and data, each once; rows refer to them by
        number.
    """
    facts = _Facts()
    tasks = {
        name: _task(task, section.section.data, facts)
        for number, section in enumerate(standings)
        for name, task in _named(section, number)
        if task.standings
    }
    return {"reference": reference, "tasks": tasks, "facts": facts.values}


class _Facts:
    """Values shared by many rows, each stored once."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def number(self, value: Any) -> int:
        """Return the number of a value, which may be a dataclass."""
        key = msgspec.json.encode(value)
        return self._numbers.setdefault(key, len(self._numbers))

    def numbers(self, values: Sequence[Any]) -> list[int]:
        """Return the numbers of the values that are not None, each once."""
        return list(dict.fromkeys(self.number(value) for value in values if value is not None))

    @property
    def values(self) -> list[Any]:
        return [msgspec.json.decode(key) for key in self._numbers]


def _task(task: TaskStandings, data: Mapping[str, Any], facts: _Facts) -> dict[str, Any]:
    metric = task.table.metrics[0]
    return {
        "task": task.table.task,
        "metric": metric,
        "condition": facts.number({**task.table.condition, "data": data}),
        "rows": [_row(standing, metric, facts) for standing in task.standings],
    }


def _row(standing: Standing, metric: str, facts: _Facts) -> dict[str, Any]:
    """Return the data of one row: values for the figures, and its runs."""
    row, interval = standing.row, standing.interval
    records = row.records
    return {
        "label": row.label,
        "method": records[0].spec.method,
        "mean": _short(standing.mean),
        "interval": [_short(interval.low), _short(interval.high)] if interval else None,
        "parameters": _short(mean_of(row, "parameters", "adapter")),
        "in_use": _short(mean_of(row, "parameters", "active")),
        "memory": _short(mean_of(row, "memory", "train_peak", 1e6)),
        "speed": _short(mean_of(row, "throughput", "train")),
        "seconds": _short(mean_of(row, "times", "train")),
        "curve": _curve(row, metric),
        "runs": [_run(record) for record in records],
        "settings": facts.number(row.settings),
        "environments": facts.numbers([record.environment for record in records]),
        "data": facts.numbers([record.data for record in records]),
        "tuned": facts.numbers([record.tuned for record in records]),
    }


def _run(record: Record) -> list[Any]:
    """Return seed, id and primary score."""
    return [record.spec.seed, record.id, _short(record.test_score)]


def _curve(row: Row, metric: str) -> list[list[float | None]]:
    """Return the validation curve: per epoch its number, mean, lowest and highest finite score over seeds, and time.

    The time is the mean time from the start of training to the end of the epoch, in seconds. For records without it,
    the total time is divided by steps; it is None if there is no time at all.
    """
    curves = [
        [epoch.scores.get(metric, math.nan) for epoch in record.scores.validation]
        for record in row.records
        if record.scores
    ]
    by_epoch = ([*filter(math.isfinite, values)] for values in zip_longest(*curves, fillvalue=math.nan))
    times = [_ends(record) for record in row.records]
    seconds = [statistics.fmean(v for v in values if v is not None) for values in zip_longest(*times)]
    seconds_by_epoch = dict(enumerate(map(_short, seconds), start=1))
    return [
        [epoch, _short(statistics.fmean(values)), _short(min(values)), _short(max(values)), seconds_by_epoch.get(epoch)]
        for epoch, values in enumerate(by_epoch, start=1)
        if values
    ]


def _ends(record: Record) -> list[float]:
    if not record.scores or not record.times:
        return []
    curve = record.scores.validation
    return record.times.epochs or [record.times.train * epoch.step / curve[-1].step for epoch in curve]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def _named(standings: SectionStandings, number: int) -> Iterator[tuple[str, TaskStandings]]:
    """Return the tasks of a section with the ids of their articles."""
    return ((f"section-{number}-task-{place}", task) for place, task in enumerate(standings.tasks))


def _section(standings: SectionStandings, number: int, reference: str) -> Element:
    section = Element("section", {"class": "standings"})
    SubElement(section, "h2").text = section_title(standings)
    for name, task in _named(standings, number):
        article = _article(section, name, task.table.task)
        if task.standings:
            article.append(task_table(task, f"{name}-caption", reference))
        article.append(notes_list(task.table))
    if len(standings.tasks) > 1 and any(task.standings for task in standings.tasks):
        name = f"section-{number}-all"
        _article(section, name, "All tasks").append(overall_table(standings, f"{name}-caption"))
    return section


def _article(section: Element, name: str, title: str) -> Element:
    article = SubElement(section, "article", {"id": name})
    SubElement(article, "h3").text = title
    return article


def _published(rows: Sequence[Mapping[str, Any]]) -> Element:
    section = Element("section", {"class": "published"})
    SubElement(section, "h2").text = "Reported elsewhere: not measured here"
    for note in published_notes(rows):
        SubElement(section, "p").text = note
    section.append(published_table(rows, "published-caption"))
    return section


def _counted(standings: Sequence[SectionStandings]) -> str:
    """Return a line with the numbers of runs, methods, tasks and tables."""
    tables = [task.table for section in standings for task in section.tasks]
    records = [record for table in tables for record in table.runs]
    failed = sum(len(table.failed) for table in tables)
    methods = len({record.spec.method for record in records})
    tasks = len({table.task for table in tables})
    last = max((record.finished for record in records), default="never")
    counts = ((len(records), "run"), (methods, "method"), (tasks, "task"), (len(tables), "table"))
    words = ", ".join(f"{count:,} {word}{'s' * (count != 1)}" for count, word in counts)
    return f"{words}; {failed or 'none'} of the runs failed. The last ended {last[:10]}. Written by bench leaderboard."


def _markup(element: Element) -> str:
    return tostring(escape.html_tree(element), encoding="unicode", method="html")


def _json(value: Any) -> str:
    """Return JSON that is safe inside a script element: it can end neither the element nor a line."""
    text = escape.json_text(msgspec.json.encode(escape.values(value)).decode())
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _checksum(text: str) -> str:
    """Return the hash of a style or script, as a Content-Security-Policy lists it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
