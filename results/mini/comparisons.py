"""The comparisons behind finding.md: two methods on their common seeds, from the records in this folder.

Comparisons without records are omitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from study import FIVE, JOINT_TASK, TASKS

from bench.report.finding.comparisons import Question, Table, answers, compare
from bench.report.finding.measured import Measured, Runs

QUESTIONS = (
    Question("CoLA over LoRA, both of CoLA's size", "cola", "lora-cola-size"),
    Question("CoLA over LoRA, each of its own size", "cola", "lora"),
    Question("LoRA of CoLA's size over LoRA", "lora-cola-size", "lora"),
    Question("CoLA over DoRA, both of CoLA's size", "cola", "dora-cola-size"),
    Question("CoLA on DoRA over DoRA, both of CoLA's size", "cola-dora-cola-size", "dora-cola-size"),
    Question("CoLA on DoRA over CoLA, both of CoLA's size", "cola-dora-cola-size", "cola"),
    Question("CoLA on AdaLoRA over AdaLoRA, each of its own size", "cola-adalora", "adalora"),
    Question("CoLA on AdaLoRA over CoLA, each of its own size", "cola-adalora", "cola"),
)


def usual_runs(measured: Measured) -> Runs:
    """Return the records with the usual epochs and both modalities on each task, of all seeds and sizes."""
    return measured.runs("main", "budget", "more-seeds")


def later(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield CoLA over LoRA on the seeds that were run later."""
    runs = {
        key: {seed: record for seed, record in records.items() if seed not in FIVE}
        for key, records in usual_runs(measured).items()
    }
    question = Question("CoLA over LoRA, each of its own size, seeds 5 to 9 alone", "cola", "lora")
    yield "later", answers(question, runs, TASKS)


def longer(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield tables on whether CoLA merely learns faster: its gain with twice the epochs, and what they add."""
    twice, usual = measured.runs("longer"), measured.runs("main")
    tasks = dict.fromkeys(task for task, _ in twice)
    between = {task: compare(task, twice[task, "cola"], twice[task, "lora"]) for task in tasks}
    yield "longer", Table.of("CoLA over LoRA, each of its own size, with twice the epochs", between)
    names = {f"{task}, {method}": (task, method) for task, method in twice}
    gained = {name: compare(name, twice[key], usual[key]) for name, key in names.items()}
    yield "twice", Table.of("Twice the epochs over the usual", gained)


def joint(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield the comparisons for one model that learns all grounding tasks."""
    runs = measured.runs("together", "together-budget", "together-more-seeds")
    rows = {q.key: compare(q.title, runs[JOINT_TASK, q.a], runs[JOINT_TASK, q.b]) for q in QUESTIONS}
    yield "together", Table.of("All grounding tasks in one model", rows)


def ablations(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield tables of CoLA's ablations and of its paths in one direction, for each task that has them."""
    runs, usual = measured.runs("ablations"), measured.runs("main")
    for task in dict.fromkeys(task for task, _ in runs):
        changed = {label: records for (name, label), records in runs.items() if name == task}
        ablated = {name: compare(name, records, usual[task, "cola"]) for name, records in changed.items()}
        one_way = {
            name: compare(name, records, usual[task, "lora"])
            for name, records in changed.items()
            if name.startswith("paths=")
        }
        yield f"ablations {task}", Table.of(f"Ablations of CoLA on {task}, over CoLA as it is", ablated)
        yield f"one way {task}", Table.of(f"CoLA with a path one way on {task}, over LoRA", one_way)


def all_tables(measured: Measured) -> dict[str, Table]:
    """Return all tables that have records, by a short name."""
    runs = usual_runs(measured)
    parts: list[Iterable[tuple[str, Table]]] = [
        ((question.key, answers(question, runs, TASKS)) for question in QUESTIONS)
    ]
    parts += [make(measured) for make in (later, longer, joint, ablations)]
    return {key: table for part in parts for key, table in part if table.rows}
