"""Write what the records say: `.venv/bin/python results/mini/finding.py --write`, from the checkout's root.

finding.md is finding.template.md with its figures filled in (prose.py), tables.md has all comparisons (comparisons.py),
and finding.svg is the picture (figure.py). The README's table, that of README.md in this folder, and a paragraph of
docs/results.md stand between marks there. Without `--write`, exit with 1 if a page is not what would be written, and
name it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import figure
from audit import Measured
from comparisons import QUESTIONS, Compared, Question, Table, all_tables, answers, usual_runs
from prose import Prose, interval, signed, verdict
from reproduce import FIVE, FOLDER, TEN

from bench.files import write_text
from bench.report.formatting import SEEDS_ONLY, number, p_value
from bench.report.standings import Gain
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
HEADER = ("", "seeds", "first", "second", "difference", "95% interval", "%", "p", "verdict", "parameters")
INTRODUCTION = f"""\
# Tables of the finding

Written by `results/mini/finding.py`; [finding.md](finding.md) says what they show. Each table compares two methods on
the seeds that both have, by the rule of [Verdicts](../../docs/explain/verdicts.md): intervals are over other seeds and
other test samples, or over other seeds only where it is marked {SEEDS_ONLY}; p is after Holm's correction over the rows
of its table.
"""


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


def resolution(measured: Measured) -> str:
    """Return a table of the true gains that the paired t-test over seeds detects with probability 0.8."""
    lines = []
    for question in RESOLVED:
        rows = answers(question, usual_runs(measured)).rows
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
        FOLDER / "tables.md": "\n".join([INTRODUCTION, *map(written_table, tables.values())]),
        **{page: between_marks(page, WRITER, text) for page, text in between.items()},
    }


def main() -> int:
    """Write all pages and the picture, or name the pages that are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the pages and the picture")
    write, measured = parser.parse_args().write, Measured()
    try:
        texts = pages(measured)
    except ValueError as error:  # of a template, or of a page without marks
        sys.exit(f"nothing was written: {error}")
    changed = [page for page, text in texts.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if not write:
        for page in changed:
            print(f"{page} is not what the records say; --write writes it anew")
        return bool(changed)
    for page in changed:
        write_text(page, texts[page])
    figure.draw(answers(QUESTIONS[0], usual_runs(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
