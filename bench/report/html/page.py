"""leaderboard.html: a single file with data, style and scripts, which opens without a network.

The tables are plain HTML, so that they are visible without scripts. The scripts sort and filter them, and draw figures
from data that is embedded as JSON. A Content-Security-Policy allows only these scripts and this style, and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from bench.config.reference import REFERENCE
from bench.report.families import families_note
from bench.report.html.data import named, overall_name, plain
from bench.report.html.tables import (
    overall_table,
    published_table,
    section_title,
    settings_fold,
    split_gains_table,
    task_table,
    worlds_table,
)
from bench.report.over_worlds import NOTE, OverWorlds, over_worlds
from bench.report.overview import has_overview
from bench.report.published import published_notes
from bench.report.standings import SectionStandings
from bench.report.suite_settings import SuiteSettings
from bench.report.tradeoff import FORMULAS
from bench.report.tuning_trials import Trials
from bench.text import escape

_FOLDER = Path(__file__).parent
_SCRIPTS = ("figures.js", "overview.js", "gains.js", "details.js", "download.js", "page.js")  # the last starts the page


def page(
    standings: Sequence[SectionStandings],
    published: Sequence[Mapping[str, Any]] = (),
    reference: str = REFERENCE,
    results: Path | None = None,
) -> str:
    """Return the leaderboard as one HTML file; equal input results in equal text.

    Args:
        standings: The standings of the records.
        published: Rows of `bench.report.published`, for a table of their own.
        reference: Label of the row that gains are relative to.
        results: The results folder that the page is in, for its links; None for a page without links to files.
    """
    template, style, *scripts = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *_SCRIPTS)
    )
    policy = (
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_checksum(style)}; script-src {' '.join(map(_checksum, scripts))}"
    )
    trials, settings = Trials.beside(standings), SuiteSettings()
    return Template(template).substitute(
        policy=policy,
        style=style,
        counted=html.escape(escape.line(_counted(standings))),
        trade_offs=html.escape("; ".join(f"{name}: {formula}" for name, formula in FORMULAS.items())),
        reference=html.escape(escape.line(reference)),
        standings="".join(
            _markup(section)
            for section in (
                *(_section(section, number, reference, trials, settings) for number, section in enumerate(standings)),
                *(
                    _worlds(item, number, reference, settings)
                    for number, item in enumerate(over_worlds(standings, reference))
                ),
            )
        ),
        published=_markup(_published(published)) if published else "",
        data=_json(plain(standings, reference, results)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _section(
    standings: SectionStandings, number: int, reference: str, trials: Trials, settings: SuiteSettings
) -> Element:
    section = Element("section", {"class": "standings"})
    SubElement(section, "h2").text = section_title(standings)
    if has_overview(standings):
        name = overall_name(number)
        article = _article(section, name, "All tasks")
        tables = [task.table for task in standings.tasks]
        for note in filter(None, [families_note([table.task for table in tables]), settings.tasks(tables)]):
            SubElement(article, "p").text = note
        article.append(overall_table(standings, f"{name}-caption", reference))
    for name, task in named(standings, number):
        article = _article(section, name, task.table.task)
        if changes := settings.changes(task.table):
            SubElement(article, "p").text = changes
        if task.standings:
            article.append(task_table(task, f"{name}-caption", reference))
            if task.split_gains:
                article.append(split_gains_table(task, f"{name}-splits", reference))
        article.append(settings_fold(task.table, trials, f"{name}-tuning"))
    return section


def _worlds(item: OverWorlds, number: int, reference: str, settings: SuiteSettings) -> Element:
    section = Element("section", {"class": "standings"})
    SubElement(section, "h2").text = f"Over worlds: {item.title}"
    name = f"worlds-{number}"
    article = _article(section, name, "Over worlds")
    for note in filter(None, [NOTE, settings.tasks(item.section.tables)]):
        SubElement(article, "p").text = note
    article.append(worlds_table(item, f"{name}-caption", reference))
    if sentence := item.left_out():
        SubElement(article, "p").text = sentence
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
