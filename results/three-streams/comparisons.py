"""The comparisons behind finding.md: two methods on their common seeds, from the records in this folder."""

from __future__ import annotations

from collections.abc import Iterator

from study import TASKS

from bench.report.finding.comparisons import Question, Table, answers, compare, over_splits
from bench.report.finding.measured import Measured, Runs

QUESTIONS = (
    Question("CoLA over LoRA, both of CoLA's size", "cola", "lora-cola-size"),
    Question("CoLA over LoRA, each of its own size", "cola", "lora"),
    Question("LoRA of CoLA's size over LoRA", "lora-cola-size", "lora"),
    Question("CoLA over DoRA, each of its own size", "cola", "dora"),
    Question("LoRA over the head alone", "lora", "head"),
    Question("CoLA over the head alone", "cola", "head"),
)
SPLITS = {"refavs": ("test_s", "test_u")}
"""Test splits that have scores of the same kind: of known and of unknown kinds of things."""

FEWER = ("controls", "single")
"""Stages of LoRA without one or two of the streams."""

STREAMS = ("vision", "audio", "text")
SINGLE_PATHS = tuple(f"paths={source}>{target}" for target in STREAMS for source in STREAMS if source != target)

TITLES = {"refavs": "Ref-AVS", "avqa": "AVQA", "refavs, test_s": "known kinds", "refavs, test_u": "unknown kinds"}
TITLES |= {label: label.removeprefix("paths=").replace(">", " into ") for label in SINGLE_PATHS}


def usual_runs(measured: Measured) -> Runs:
    """Return the records with all streams, of all sizes."""
    return measured.runs("main", "budget")


def by_split(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield CoLA over LoRA on each test split."""
    for question in QUESTIONS[:2]:
        yield f"splits {question.key}", over_splits(question, usual_runs(measured), SPLITS)


def paths(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield tables of each single path, and of further changes of the paths, over LoRA and over whole CoLA."""
    runs, usual = measured.runs("paths"), measured.runs("main")
    for task in dict.fromkeys(task for task, _ in runs):
        labels = [label for name, label in runs if name == task]
        groups = (
            ("single", "Paths of CoLA", [label for label in labels if label in SINGLE_PATHS]),
            (
                "changed",
                "Changed paths of CoLA",
                [label for label in labels if label not in SINGLE_PATHS],
            ),
        )
        for short, title, group in groups:
            for base, words in (("lora", "LoRA"), ("cola", "whole CoLA")):
                rows = {label: compare(label, runs[task, label], usual[task, base]) for label in group}
                yield f"{short} over {base}, {task}", Table.of(f"{title} on {task}, over {words}", rows)


def controls(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield what all streams add to fewer of them, for each task."""
    runs, usual = measured.runs(*FEWER), measured.runs("main")
    for task in dict.fromkeys(task for task, _ in runs):
        fewer = {label: records for (name, label), records in runs.items() if name == task}
        rows = {label: compare(label, usual[task, "lora"], records) for label, records in fewer.items()}
        yield f"controls {task}", Table.of(f"LoRA with all streams over LoRA with fewer, {task}", rows)


def all_tables(measured: Measured) -> dict[str, Table]:
    """Return all tables, by a short name."""
    tables = {question.key: answers(question, usual_runs(measured), TASKS) for question in QUESTIONS}
    return tables | {key: table for part in (by_split, paths, controls) for key, table in part(measured)}
