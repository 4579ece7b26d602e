"""Write what the records say: `.venv/bin/python results/mini/finding.py --write`, from the checkout's root.

finding.md is finding.template.md with its figures filled in (prose.py), tables.md has all comparisons (comparisons.py),
and finding.svg is the picture (figure.py). The README's table, that of README.md in this folder, and a paragraph of
docs/results.md stand between marks there. Without `--write`, exit with 1 if a page is not what would be written, and
name it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import figure
from comparisons import QUESTIONS, all_tables, usual_runs
from prose import Prose
from study import EXPERIMENT, FIVE, FOLDER, TASKS, TEN

from bench.report.finding.comparisons import Question, answers
from bench.report.finding.measured import Measured
from bench.report.finding.pages import renew, tables_page
from bench.report.stats import ALPHA, smallest_gain
from bench.text.markdown import between_marks
from bench.text.markdown import table as markdown

ROOT = FOLDER.parents[1]
TEMPLATE = FOLDER / "finding.template.md"
WRITER = "results/mini/finding.py"

RESOLVED = (
    Question("CoLA over LoRA", "cola", "lora"),
    Question("DoRA over LoRA", "dora", "lora"),
)
RESULTS = """\
With equally many trained parameters and learning rates tuned with equal trials, CoLA scores
{result:cola/lora-cola-size:all tasks} than LoRA in the mean over the tasks. Of the single tasks,
{verdicts:cola/lora-cola-size:tasks}.
"""
"""The paragraph of docs/results.md."""


def resolution(measured: Measured) -> str:
    """Return a table of the true gains that the paired t-test over seeds detects with probability 0.8."""
    lines = []
    for question in RESOLVED:
        rows = answers(question, usual_runs(measured), TASKS).rows
        for name, compared in rows.items():
            if deviation := compared.mean_difference.deviation:
                gains = (
                    smallest_gain(deviation, len(seeds), alpha=ALPHA / tests)
                    for tests in (1, len(rows))
                    for seeds in (FIVE, TEN)
                )
                cells = (
                    str(len(compared.mean_difference.by_seed)),
                    f"{deviation:.2f}",
                    *(f"{gain:.1f}" for gain in gains),
                )
                lines.append([f"{question.title}, {name}", *cells])
    header = [
        f"{kind}, {len(seeds)} seeds" for kind in ("single comparison", "one of a table") for seeds in (FIVE, TEN)
    ]
    return markdown(["", "seeds", "deviation", *header], lines) + "\n"


def pages(measured: Measured) -> dict[Path, str]:
    """Return the text of all pages."""
    tables = all_tables(measured)
    prose = Prose(measured, tables)
    between = {
        ROOT / "README.md": figure.table(tables[figure.SHOWN]),
        ROOT / "docs" / "results.md": prose.fill(RESULTS),
        FOLDER / "README.md": resolution(measured),
    }
    return {
        FOLDER / "finding.md": prose.fill(TEMPLATE.read_text(encoding="utf-8")),
        FOLDER / "tables.md": tables_page(WRITER, tables.values()),
        **{page: between_marks(page, WRITER, text) for page, text in between.items()},
    }


def draw(measured: Measured) -> None:
    """Draw the picture."""
    figure.draw(answers(QUESTIONS[0], usual_runs(measured), TASKS))


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Write all pages and the picture, or return which pages are not as they would be written."""
    return renew(__doc__, EXPERIMENT, pages, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
