"""Mock records with their standings: four methods on two tasks with three seeds, for the tests of the page."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence

import mocks

from bench.config.reference import REFERENCE
from bench.config.spec import Spec
from bench.records.schema import Epoch, Memory, Parameters, Record, Throughput
from bench.report.grouping import Row, Table, sections
from bench.report.standings import Gain, Interval, MeanScore, Rank, SectionStandings, Standing, TaskStandings

EVIL = "<script>window.ran = true</script>"
METHODS = {  # by name: score, parameters, MB while training, samples per second
    "cola": (78.0, 13_900, 930, 128.0),
    "lora": (76.0, 6_144, 812, 151.0),
    EVIL: (75.0, 9_216, 840, 131.0),
    "head": (61.0, 0, 600, 310.0),
}


def spec(method: str, task: str = "ave", seed: int = 0, **changes: object) -> Spec:
    """Return the specification of a run; `changes` are of the method's settings."""
    return Spec(
        suite="mini",
        task=task,
        method=method,
        seed=seed,
        settings={"r": 4, "alpha": 2.0, **changes},
        task_settings={"hidden": 64},
        recipe={**mocks.RECIPE, "epochs": 8, "lr_adapter": 5e-3, "lr_head": 5e-3},
        streams={"vision": {"model": "embedded:vision-v2"}, "audio": {"model": "embedded:audio-v1"}},
        data={"source": "generated", "version": 1, "seed": 0},
    )


def record(run: Spec, epochs: int = 8) -> Record:
    """Return a finished run: scores grow by half a point a seed, and LoRA's spread is as large as that of others."""
    score, adapter, megabytes, speed = METHODS.get(run.method, METHODS["lora"])
    score += run.seed / 2 - (20 if run.task == "avs" else 0)
    mock_record = mocks.record(dataclasses.replace(run, task=run.task if run.task in ("ave", "avs") else "ave"), score)
    assert mock_record.scores
    metric = mock_record.scores.metric
    curve = [Epoch(epoch, 30 * epoch, 1 / epoch, {metric: score - 16 / epoch}) for epoch in range(1, epochs + 1)]
    return dataclasses.replace(
        mock_record,
        id=run.id,
        spec=run,
        scores=dataclasses.replace(mock_record.scores, validation=curve),
        parameters=Parameters(adapter, 2500, adapter + 2500, 900_000, 800_000, adapter / 8000, active=adapter),
        memory=Memory("resident size", megabytes * 10**6, 500 * 10**6),
        throughput=Throughput(speed, 3 * speed),
    )


def records(tasks: Iterable[str] = ("ave", "avs"), seeds: int = 3) -> list[Record]:
    """Return the records of all methods."""
    return [record(spec(method, task, seed)) for task in tasks for seed in range(seeds) for method in METHODS]


GAINS = ((1.0, 1.1, 0.8), (4.0, 4.2, 4.1), (2.5, 2.2, 2.5))
"""Gains by world and seed."""


def run_in_world(method: str, task: str, world: int, seed: int, score: float) -> Record:
    """Return a finished run in one world of the data, with this score."""
    spec_of_run = spec(method, task, seed)
    finished = record(dataclasses.replace(spec_of_run, data={**spec_of_run.data, "seed": world}))
    scores = dataclasses.replace(finished.scores, test={finished.scores.metric: score})
    data = dataclasses.replace(finished.data, fingerprint=f"{world:08x}")
    return dataclasses.replace(finished, scores=scores, data=data)


def records_in_worlds(
    gain: Callable[[str, int, int], float] = lambda task, world, seed: GAINS[world][seed],
    worlds: int = 3,
    seeds: int = 3,
    tasks: tuple[str, ...] = ("ave",),
) -> list[Record]:
    """Return the records of LoRA, and of CoLA with these gains over it."""
    return [
        run_in_world(
            method, task, world, seed, 50.0 + 5 * world + seed + (gain(task, world, seed) if method == "cola" else 0)
        )
        for method, task, world, seed in itertools.product(("lora", "cola"), tasks, range(worlds), range(seeds))
    ]


def judged(records: Sequence[Record]) -> list[SectionStandings]:
    """Return the standings of records with mock places, intervals and gains; the first two methods are tied."""
    judged_sections = []
    for section in sections(records):
        tasks = [TaskStandings(table, _standings(table)) for table in section.tables]
        means = _means(tasks) if len(tasks) > 1 else {}
        gains = {
            label: gain
            for task in tasks
            for s in task.standings
            if (label := s.row.label) in means and (gain := s.gain)
        }
        scores = {label: MeanScore(mean, Interval(mean - 1, mean + 1)) for label, mean in means.items()}
        judged_sections.append(SectionStandings(section, tasks, _ranks(section.tables), gains, scores))
    return judged_sections


def _means(tasks: Sequence[TaskStandings]) -> dict[str, float]:
    """Return the mean score of the methods that every task has."""
    by_task = [{standing.row.label: standing.mean for standing in task.standings} for task in tasks]
    return {
        label: statistics.fmean(means[label] for means in by_task)
        for label in by_task[0]
        if all(label in means for means in by_task)
    }


def _standings(table: Table) -> list[Standing]:
    rows = sorted(table.rows, key=lambda row: -statistics.fmean(row.primary))
    means = {row.label: statistics.fmean(row.primary) for row in rows}
    standings = []
    for index, row in enumerate(rows):
        mean = means[row.label]
        interval = Interval(mean - 1.25, mean + 1.25) if len(row.records) > 1 else None
        tied = index < 2 < len(rows)
        standings.append(Standing(row, mean, 0.5, interval, _gain(row, means), 1 if tied else index + 1, tied))
    return standings


def _gain(row: Row, means: dict[str, float]) -> Gain | None:
    if row.label == REFERENCE or REFERENCE not in means:
        return None
    points = means[row.label] - means[REFERENCE]
    return Gain(
        points=points,
        percent=100 * points / means[REFERENCE],
        seeds=len(row.records),
        interval=Interval(points - 1, points + 1),
        p=0.0001,
        p_holm=0.0002,
        verdict="better" if points > 1 else "worse" if points < -1 else "undecided",
        with_samples=True,
    )


def _ranks(tables: Sequence[Table]) -> list[Rank]:
    if len(tables) < 2:
        return []
    return [
        Rank(method, index + 1.0, Interval(max(1, index + 0.5), index + 1.5)) for index, method in enumerate(METHODS)
    ]
