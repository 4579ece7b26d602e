"""The comparisons behind finding.md: two methods on their common seeds, from the records in this folder.

Each is judged by the rule of the leaderboard (docs/explain/verdicts.md), with Holm's correction over its table.
Comparisons without records are omitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from audit import Measured, primary
from reproduce import FIVE, JOINT_TASK, TASKS

from bench.records.schema import Record
from bench.report.estimates import Estimate
from bench.report.families import mean_estimate, weights
from bench.report.formatting import NONE
from bench.report.standings import Gain, gain_of, judged, mean_difference

ALL = "all tasks"

Runs = Mapping[tuple[str, str], Mapping[int, Record]]
"""Records by task and method, then by seed."""


@dataclass(frozen=True)
class Question:
    """A comparison of two methods or variations, by their labels in experiment.toml."""

    title: str
    a: str
    b: str

    @property
    def key(self) -> str:
        """Both labels: "cola/lora"."""
        return f"{self.a}/{self.b}"


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


@dataclass(frozen=True)
class Compared:
    """Two methods on the seeds that both have.

    Attributes:
        name: The comparison's name in its table.
        first: Mean test score of the first method over these seeds.
        second: The same of the second method.
        mean_difference: The first minus the second.
        parameters: Trained parameters of both.
    """

    name: str
    first: float
    second: float
    mean_difference: Estimate
    parameters: str = NONE


@dataclass(frozen=True)
class Table:
    """Comparisons that are judged together.

    Attributes:
        title: What they compare.
        rows: The comparisons, by a short name.
    """

    title: str
    rows: Mapping[str, Compared]

    @property
    def gains(self) -> dict[str, Gain]:
        """The gains and their verdicts, after Holm's correction over all rows."""
        return judged({key: gain_of(row.mean_difference, row.second) for key, row in self.rows.items()})


def usual_runs(measured: Measured) -> Runs:
    """Return the records with the usual epochs and both modalities on each task, of all seeds and sizes."""
    return measured.runs("main", "budget", "more-seeds")


def compare(name: str, a: Mapping[int, Record], b: Mapping[int, Record]) -> Compared | None:
    """Return the comparison of two methods on their common seeds; None if there are none."""
    seeds = sorted(a.keys() & b.keys())
    if not seeds or (estimate := mean_difference(a.values(), b.values())) is None:
        return None
    scores = (fmean(primary(records[seed]) for seed in seeds) for records in (a, b))
    trained = (f"{records[seeds[0]].parameters.adapter:,}" for records in (a, b))  # type: ignore[union-attr]
    return Compared(name, *scores, estimate, " to ".join(trained))


def _present(comparisons: Mapping[str, Compared | None]) -> dict[str, Compared]:
    return {key: compared for key, compared in comparisons.items() if compared}


def answers(question: Question, runs: Runs) -> Table:
    """Return one comparison per task, and one of the mean over all tasks on the seeds that every task has.

    In the mean, families of tasks weigh alike, as in the leaderboard.
    """
    rows = _present({task: compare(task, runs[task, question.a], runs[task, question.b]) for task in TASKS})
    sides = [runs[task, label] for task in TASKS for label in (question.a, question.b)]
    if len(rows) == len(TASKS) and (seeds := set.intersection(*(set(side) for side in sides))):
        shared = {key: {seed: records[seed] for seed in seeds} for key, records in runs.items() if seeds <= {*records}}
        tasks = _present({task: compare(task, shared[task, question.a], shared[task, question.b]) for task in TASKS})
        scores = [(compared.first, compared.second) for compared in tasks.values()]
        first, second = np.average(scores, axis=0, weights=weights([*tasks])).tolist()
        estimate = mean_estimate({task: compared.mean_difference for task, compared in tasks.items()})
        rows[ALL] = Compared(ALL, first, second, estimate)
    return Table(question.title, rows)


def later(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield CoLA over LoRA on the seeds that were run later."""
    runs = {
        key: {seed: record for seed, record in records.items() if seed not in FIVE}
        for key, records in usual_runs(measured).items()
    }
    table = answers(Question("CoLA over LoRA, each of its own size, seeds 5 to 9 alone", "cola", "lora"), runs)
    yield "later", table


def longer(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield tables on whether CoLA merely learns faster: its gain with twice the epochs, and what they add."""
    twice, usual = measured.runs("longer"), measured.runs("main")
    tasks = dict.fromkeys(task for task, _ in twice)
    between = {task: compare(task, twice[task, "cola"], twice[task, "lora"]) for task in tasks}
    yield "longer", Table("CoLA over LoRA, each of its own size, with twice the epochs", _present(between))
    names = {f"{task}, {method}": (task, method) for task, method in twice}
    gained = {name: compare(name, twice[key], usual[key]) for name, key in names.items()}
    yield "twice", Table("Twice the epochs over the usual", _present(gained))


def joint(measured: Measured) -> Iterator[tuple[str, Table]]:
    """Yield the comparisons for one model that learns all grounding tasks."""
    runs = measured.runs("together", "together-budget", "together-more-seeds")
    rows = {q.key: compare(q.title, runs[JOINT_TASK, q.a], runs[JOINT_TASK, q.b]) for q in QUESTIONS}
    yield "together", Table("All grounding tasks in one model", _present(rows))


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
        yield f"ablations {task}", Table(f"Ablations of CoLA on {task}, over CoLA as it is", _present(ablated))
        yield f"one way {task}", Table(f"CoLA with a path one way on {task}, over LoRA", _present(one_way))


def all_tables(measured: Measured) -> dict[str, Table]:
    """Return all tables that have records, by a short name."""
    runs = usual_runs(measured)
    parts: list[Iterable[tuple[str, Table]]] = [((question.key, answers(question, runs)) for question in QUESTIONS)]
    parts += [make(measured) for make in (later, longer, joint, ablations)]
    return {key: table for part in parts for key, table in part if table.rows}
