"""The comparisons behind finding.md: two methods on their common seeds, from the records in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from study import FOLDER, TASKS

from bench.report.finding.comparisons import Question, Table, answers, compare, over_splits
from bench.report.finding.measured import Measured, Runs

MINI = FOLDER.parent / "mini" / "experiment.toml"

QUESTIONS = (
    Question("CoLA over LoRA, both of CoLA's size", "cola", "lora-cola-size"),
    Question("CoLA over LoRA, each of its own size", "cola", "lora"),
    Question("LoRA of CoLA's size over LoRA", "lora-cola-size", "lora"),
    Question("DoRA over LoRA, each of its own size", "dora", "lora"),
    Question("DoRA over LoRA, both of CoLA's size", "dora-cola-size", "lora-cola-size"),
    Question("CoLA over DoRA, both of CoLA's size", "cola", "dora-cola-size"),
    Question("LoRA over the head alone", "lora", "head"),
)
SPLITS = {"refcoco": ("testA", "testB"), "avs": ("test",)}
LABELS = ("head", "lora", "dora", "cola", "lora-cola-size", "dora-cola-size")
"""What both suites have runs of."""
ADAPTERS = LABELS[1:]

TITLES = {
    "refcoco": "RefCOCO",
    "avs": "AVS",
    "refcoco, testA": "RefCOCO, known things in new scenes (testA)",
    "refcoco, testB": "RefCOCO, things never seen in training (testB)",
    "avs, test": "AVS, new scenes (test)",
    "refcoco, vision only": "RefCOCO, vision only",
    "refcoco, text only": "RefCOCO, text only",
    "avs, vision only": "AVS, vision only",
    "avs, audio only": "AVS, audio only",
}


def usual_runs(measured: Measured) -> Runs:
    """Return the records with both modalities, of all sizes."""
    return measured.runs("main", "budget")


def by_split(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield each question on each test split."""
    for question in QUESTIONS:
        yield f"splits {question.key}", over_splits(question, usual_runs(measured), SPLITS)


def controls(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield what both modalities add to one of them."""
    runs, usual = measured.runs("controls"), measured.runs("main")
    rows = {f"{task}, {label}": compare(label, usual[task, "lora"], single) for (task, label), single in runs.items()}
    yield "controls", Table.of("LoRA with both modalities over LoRA with one", rows)


def mini_runs(experiment: Path = MINI) -> Runs:
    """Return mini's records of the same tasks and methods, with the usual epochs."""
    runs = Measured.of_experiment(experiment).runs("main", "budget", "more-seeds")
    return {key: by_seed for key, by_seed in runs.items() if key[0] in TASKS and key[1] in LABELS}


def on_mini(runs: Runs) -> Iterator[tuple[str, Table]]:
    """Yield the questions on mini."""
    for question in QUESTIONS:
        table = answers(question, runs, TASKS)
        yield f"mini {question.key}", Table(f"{question.title}, on mini", table.rows, table.missing)


def all_tables(measured: Measured, runs_of_mini: Runs) -> dict[str, Table]:
    """Return all tables, by a short name."""
    tables = {question.key: answers(question, usual_runs(measured), TASKS) for question in QUESTIONS}
    parts = (by_split(measured), controls(measured), on_mini(runs_of_mini))
    return tables | {key: table for part in parts for key, table in part}
