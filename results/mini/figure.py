"""CoLA's gain over LoRA at equal size, task by task, as a picture (finding.svg) and as the table of the README.

Once results/natural has records of it, the picture has a panel for each of the two suites.
"""

from __future__ import annotations

from pathlib import Path

from comparisons import QUESTIONS
from prose import TITLES as TASKS
from study import FOLDER

from bench.config.suite import read_toml
from bench.report.finding.comparisons import ALL, Table, answers
from bench.report.finding.measured import Measured
from bench.report.finding.pages import draw_gains, gains_table

SHOWN = QUESTIONS[0].key
PICTURE = FOLDER / "finding.svg"
NATURAL = FOLDER.parent / "natural" / "experiment.toml"
HEADING = "CoLA minus LoRA with equally many trained parameters"
SUITES = ("suite mini (generated data)", "suite natural (photographs, recorded calls)")
INTERVALS = "95% intervals"
METRICS = {"ave": "accuracy", "avs": "mean IoU"}  # of the grounding tasks: accuracy
TITLES = {task: f"{title}, {METRICS.get(task, 'accuracy')}" for task, title in TASKS.items()}
TITLES[ALL] = "mean, grounding as one task"


def on_natural(experiment: Path) -> Table:
    """Return the same comparison on natural, without rows as long as there are no records."""
    tasks = read_toml(experiment)["tasks"]
    return answers(QUESTIONS[0], Measured.of_experiment(experiment).runs("main", "budget"), tasks)


def draw(shown: Table, natural: Path = NATURAL) -> None:
    """Write the picture, as `bench plot` draws gains.

    Args:
        shown: The comparison on mini.
        natural: The experiment file of natural.
    """
    panels = {suite: table for suite, table in zip(SUITES, (shown, on_natural(natural)), strict=True) if table.rows}
    suites = f"{SUITES[0]}, " if len(panels) == 1 else ""
    draw_gains(panels, TITLES, f"{HEADING}\n{suites}{INTERVALS}", PICTURE)


def table(shown: Table) -> str:
    """Return the gains as a Markdown table."""
    return gains_table(shown, ("task, score", "LoRA", "CoLA", "difference", "95% interval", "significant"), TITLES)
