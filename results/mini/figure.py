"""CoLA's gain over LoRA at equal size, task by task, as a picture (finding.svg) and as the table of the README."""

from __future__ import annotations

from comparisons import QUESTIONS
from prose import TITLES as TASKS
from reproduce import FOLDER

from bench.report.finding.comparisons import ALL, Table
from bench.report.finding.pages import gains_table
from bench.report.plots import forest, save_figure
from bench.report.standings import Gain

SHOWN = QUESTIONS[0].key
PICTURE = FOLDER / "finding.svg"
HEADING = "CoLA minus LoRA with equally many trained parameters\nsuite mini (generated data), 95% intervals"
METRICS = {"ave": "accuracy", "avs": "mean IoU"}  # of the grounding tasks: accuracy
TITLES = {task: f"{title}, {METRICS.get(task, 'accuracy')}" for task, title in TASKS.items()}
TITLES[ALL] = "mean, grounding as one task"


def gains(shown: Table) -> dict[str, Gain]:
    """Return the gains with the titles of their tasks."""
    return {TITLES[task]: gain for task, gain in shown.gains.items()}


def draw(shown: Table) -> None:
    """Write the picture, as `bench plot` draws gains."""
    save_figure(forest(gains(shown), HEADING), PICTURE)


def table(shown: Table) -> str:
    """Return the gains as a Markdown table."""
    return gains_table(shown, ("task, score", "LoRA", "CoLA", "difference", "95% interval", "significant"), TITLES)
