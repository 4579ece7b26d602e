"""Write what the records say: `.venv/bin/python results/natural/finding.py --write`, from the checkout's root.

finding.md is finding.template.md with its figures filled in (prose.py), tables.md has all comparisons (comparisons.py),
and finding.svg is the picture. Without `--write`, exit with 1 if a page is not what would be written, and name it. What
has no records yet is said not to be measured; without any record nothing is written. Neither media nor encoders need be
there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from comparisons import QUESTIONS, SPLITS, TITLES, all_tables, mini_runs, usual_runs
from prose import Prose
from study import EXPERIMENT, FOLDER, TASKS

from bench.report.finding.comparisons import ALL, answers, over_splits
from bench.report.finding.measured import Measured, Runs
from bench.report.finding.pages import draw_gains, renew, tables_page

TEMPLATE = FOLDER / "finding.template.md"
PICTURE = FOLDER / "finding.svg"
WRITER = "results/natural/finding.py"
HEADING = "CoLA minus LoRA with equally many trained parameters\nsuite natural, 95% intervals"


def pages(measured: Measured, runs_of_mini: Runs | None = None) -> dict[Path, str]:
    """Return the text of all pages.

    Args:
        measured: The records.
        runs_of_mini: The records of mini that they are compared with; None for the published ones.
    """
    runs_of_mini = mini_runs() if runs_of_mini is None else runs_of_mini
    tables = all_tables(measured, runs_of_mini)
    return {
        FOLDER / "finding.md": Prose(measured, tables, runs_of_mini).fill(TEMPLATE.read_text(encoding="utf-8")),
        FOLDER / "tables.md": tables_page(WRITER, tables.values()),
    }


def draw(measured: Measured) -> None:
    """Draw the picture."""
    shown, runs = QUESTIONS[0], usual_runs(measured)
    panels = {"all test samples": answers(shown, runs, TASKS), "each test split": over_splits(shown, runs, SPLITS)}
    draw_gains(panels, {**TITLES, ALL: "mean"}, HEADING, PICTURE)


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Write all pages and the picture, or return what is not as it would be written."""
    return renew(__doc__, EXPERIMENT, pages, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
