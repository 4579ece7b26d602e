"""Write what the records say: `.venv/bin/python results/three-streams/finding.py --write`, from the checkout's root.

finding.md is finding.template.md with its figures filled in, tables.md has all comparisons, and finding.svg is the
picture. Without `--write`, exit with 1 if a page is not what would be written, and name it. What has no records yet is
said not to be measured; without any record nothing is written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from comparisons import FEWER, QUESTIONS, TITLES, all_tables, usual_runs
from study import EXPERIMENT, FOLDER, TASKS, TRIALS

from bench.report.finding.comparisons import ALL
from bench.report.finding.measured import Measured
from bench.report.finding.pages import draw_gains, renew, tables_page
from bench.report.finding.prose import Prose
from bench.text.markdown import between_marks

TEMPLATE = FOLDER / "finding.template.md"
PICTURE = FOLDER / "finding.svg"
RESULTS_PAGE = FOLDER.parents[1] / "docs" / "results.md"
WRITER = "results/three-streams/finding.py"
SHOWN = {QUESTIONS[0].key: "CoLA over LoRA of equal size", "single over lora, refavs": "one path over LoRA, on Ref-AVS"}
HEADING = "What cross-modal paths add: suite mini (generated data), 95% intervals"
RESULTS = """\
Where vision, audio and text meet, with equally many parameters: of CoLA's gains over LoRA,
{verdicts:cola/lora-cola-size:tasks}. At the default sizes, {verdicts:cola/lora:tasks}.
"""
"""The paragraph of docs/results.md."""


def pages(measured: Measured) -> dict[Path, str]:
    """Return the text of all pages."""
    tables = all_tables(measured)
    runs = {**measured.runs(*FEWER), **measured.runs("paths"), **usual_runs(measured)}
    prose = Prose(measured, tables, runs, tasks=TASKS, titles=TITLES, trials=TRIALS)
    return {
        FOLDER / "finding.md": prose.fill(TEMPLATE.read_text(encoding="utf-8")),
        FOLDER / "tables.md": tables_page(WRITER, tables.values()),
        RESULTS_PAGE: between_marks(RESULTS_PAGE, WRITER, prose.fill(RESULTS)),
    }


def draw(measured: Measured) -> None:
    """Draw the picture."""
    tables = all_tables(measured)
    draw_gains({name: tables[key] for key, name in SHOWN.items()}, {**TITLES, ALL: "mean"}, HEADING, PICTURE)


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Write all pages and the picture, or return what is not as it would be written."""
    return renew(__doc__, EXPERIMENT, pages, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
