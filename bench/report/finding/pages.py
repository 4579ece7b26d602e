"""The pages of a finding: written tables, and the command that writes pages or names those that are stale."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.files import write_text
from bench.report.finding.comparisons import Compared, Table
from bench.report.finding.measured import Measured
from bench.report.finding.words import interval, signed, verdict
from bench.report.formatting import SEEDS_ONLY, number, p_value
from bench.report.plots import forests, save_figure
from bench.report.standings import Gain
from bench.text.markdown import table as markdown

HEADER = ("", "seeds", "first", "second", "difference", "95% interval", "%", "p", "verdict", "parameters")
INTRODUCTION = f"""\
# Tables of the finding

Written by `{{writer}}`; [finding.md](finding.md) says what they show. Each table compares two methods on
the seeds that both have, by the rule of [Verdicts](../../docs/explain/verdicts.md): intervals are over other seeds and
other test samples, or over other seeds only where it is marked {SEEDS_ONLY}; p is after Holm's correction over the rows
of its table.
"""


def tables_page(writer: str, tables: Iterable[Table]) -> str:
    """Return a page with all tables that have rows.

    Args:
        writer: The script that writes it, as in "results/mini/finding.py".
        tables: The tables.
    """
    return "\n".join([INTRODUCTION.format(writer=writer), *(written_table(table) for table in tables if table.rows)])


def written_table(table: Table) -> str:
    """Return a table of comparisons as Markdown."""
    lines = [_cells(table.rows[key], gain) for key, gain in table.gains.items()]
    return f"## {table.title}\n\n{markdown(HEADER, lines)}\n"


def _cells(compared: Compared, gain: Gain) -> list[str]:
    mark = SEEDS_ONLY if gain.interval and not gain.with_samples else ""
    return [
        *(compared.name, str(gain.seeds), f"{compared.first:.2f}", f"{compared.second:.2f}", signed(gain.points, 2)),
        *(interval(gain.interval, 2) + mark, number(gain.percent, "+.1f"), p_value(gain.p_holm), verdict(gain)),
        compared.parameters,
    ]


def gains_table(shown: Table, header: Sequence[str], titles: Mapping[str, str]) -> str:
    """Return a table of two methods task by task as Markdown: what is named first in the comparisons stands second.

    Args:
        shown: The comparisons.
        header: The names of six columns: row, second method, first method, difference, interval, significant.
        titles: The names of the rows.
    """
    lines = [
        [
            titles[task],
            f"{shown.rows[task].second:.1f}",
            f"{shown.rows[task].first:.1f}",
            signed(gain.points),
            interval(gain.interval),
            {"significant": "yes", "not significant": "no"}.get(verdict(gain), verdict(gain)),
        ]
        for task, gain in shown.gains.items()
    ]
    return markdown(header, lines) + "\n"


def draw_gains(panels: Mapping[str, Table], titles: Mapping[str, str], heading: str, path: Path) -> None:
    """Write a picture of gains, as `bench plot` draws them: a panel for each table that has rows; none without any.

    Args:
        panels: The tables, by the title of their panel, which a single one does not have.
        titles: The names of rows; those without one have the name that is in the table.
        heading: What is compared with what.
        path: The file.
    """
    gains = {
        title: {titles.get(row, row): gain for row, gain in table.gains.items()}
        for title, table in panels.items()
        if table.rows
    }
    if gains:
        save_figure(forests(gains, heading), path)


def renew(
    description: str | None,
    experiment: Path,
    pages: Callable[[Measured], Mapping[Path, str]],
    draw: Callable[[Measured], None],
    arguments: Sequence[str] | None = None,
) -> str | None:
    """Write pages and the picture, or find out which pages are not as they would be written.

    Without records of the experiment, nothing is written. The picture is drawn first, so that nothing is if that fails.

    Args:
        description: What the script says of itself.
        experiment: The experiment file, beside whose records the pages are, named from the working folder.
        pages: Returns the text of each page, from the records.
        draw: Draws the picture.
        arguments: The script's arguments; None for those that it was started with.

    Returns:
        What is wrong, for `sys.exit`; None if nothing is.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the pages and the picture")
    write = parser.parse_args(arguments).write
    try:
        measured = Measured.of_experiment(experiment)
        if measured.is_empty:
            return f"{experiment.parent} has no records of its experiment yet: nothing to write"
        texts = pages(measured)
        if write:
            draw(measured)
    except (BenchError, OSError, ValueError) as error:  # of records, of a template, or of a page without marks
        return f"nothing was written: {error}"
    changed = [page for page, text in texts.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if not write:
        stale = [f"{page} is not what the records say; --write writes it anew" for page in changed]
        return "\n".join(stale) or None
    for page in changed:
        write_text(page, texts[page])
    return None
