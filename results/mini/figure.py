"""CoLA's gain over LoRA at equal size, task by task, as a picture (finding.svg) and as the table of the README."""

from __future__ import annotations

from comparisons import ALL, QUESTIONS, Table
from prose import TITLES as TASKS
from prose import interval, signed, verdict
from reproduce import FOLDER

from bench.report.plots import forest, save_figure
from bench.report.standings import Gain
from bench.text.markdown import table as markdown

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
    header = ("task, score", "LoRA", "CoLA", "difference", "95% interval", "significant")
    lines = [
        [
            TITLES[task],
            f"{shown.rows[task].second:.1f}",
            f"{shown.rows[task].first:.1f}",
            signed(gain.points),
            interval(gain.interval),
            {"significant": "yes", "not significant": "no"}.get(verdict(gain), verdict(gain)),
        ]
        for task, gain in shown.gains.items()
    ]
    return markdown(header, lines) + "\n"
