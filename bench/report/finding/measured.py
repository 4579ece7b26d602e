"""The records of a results folder, looked up by the stages and labels of its experiment file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.config.experiment import read_experiment
from bench.config.plan import RunRequest, make_plan
from bench.config.spec import Spec, data_key
from bench.config.suite import parse_value
from bench.errors import BenchError, UsageError
from bench.records.provenance import scoring
from bench.records.schema import DataInfo, Record
from bench.records.store import read_all

Key = tuple[str, str]
"""A task, and the label of a method or variation."""

Planned = Mapping[str, Mapping[Key, Mapping[int, Spec]]]
"""Specifications of runs by stage, by task and label, and by seed."""

Runs = Mapping[Key, Mapping[int, Record]]
"""Records by task and label, then by seed."""

_MODEL = ".model"
_MOST_NAMES = 3  # files that a message names


class Measured:
    """The records of an experiment, as far as they are there.

    Args:
        records: Records of any runs; failed ones are left out.
        planned: The runs of the experiment.

    Raises:
        BenchError: Records of planned runs cannot be compared; see `check_data` and `check_scoring`.
    """

    def __init__(self, records: Iterable[Record], planned: Planned) -> None:
        self.records = {record.id: record for record in records if record.status == "ok"}
        self.planned = planned
        compared = [record for records in self.runs(*planned).values() for record in records.values()]
        check_data(compared)
        check_scoring(compared)

    @classmethod
    def of_experiment(cls, experiment: Path) -> Measured:
        """Return the records in the folder of an experiment file, which is named from the working folder.

        Raises:
            UsageError: See `planned`.
            BenchError: See `check_data` and `check_scoring`.
        """
        return cls(read_all(experiment.parent), planned(experiment))

    def runs(self, *stages: str) -> dict[Key, dict[int, Record]]:
        """Return the existing records of stages, by task and label and then by seed; empty for runs without any."""
        records: dict[Key, dict[int, Record]] = {}
        for key, specs in (item for stage in stages for item in self.planned[stage].items()):
            by_seed = records.setdefault(key, {})
            by_seed |= {seed: self.records[spec.id] for seed, spec in specs.items() if spec.id in self.records}
        return records

    @property
    def is_empty(self) -> bool:
        """Whether no run of the experiment has a record."""
        return not any(self.runs(*self.planned).values())

    def scores(self, *stages: str) -> dict[Key, dict[int, float]]:
        """Return the primary test scores of stages, by task and label and then by seed."""
        return {
            key: {seed: primary(record) for seed, record in records.items()}
            for key, records in self.runs(*stages).items()
        }


def primary(record: Record) -> float:
    """Return a record's primary test score."""
    assert record.scores
    return record.scores.test[record.scores.metric]


def check_data(records: Sequence[Record]) -> None:
    """Check that runs of a task whose specifications have the same data did use the same, and skipped no samples.

    Raises:
        BenchError: They cannot be compared.
    """
    grouped: dict[tuple[str, str], list[DataInfo]] = {}
    for record in records:
        if record.data:
            grouped.setdefault((record.spec.task, data_key(record.spec.data)), []).append(record.data)
    for (task, _), data in grouped.items():
        if len({item.fingerprint for item in data}) > 1 or any(item.skipped for item in data):
            raise BenchError(
                f"the records of {task} have different data, or samples were skipped: they cannot be compared"
            )


def check_scoring(records: Iterable[Record]) -> None:
    """Check that runs of a task were scored by one rule.

    Raises:
        BenchError: They cannot be compared.
    """
    by_task: dict[str, dict[int, list[Record]]] = {}
    for record in records:
        by_task.setdefault(record.spec.task, {}).setdefault(scoring(record.provenance), []).append(record)
    for task, by_rule in by_task.items():
        if len(by_rule) > 1:
            listed = "; ".join(
                f"{len(by_rule[rule])} by rule {rule}, {_first(by_rule[rule])}" for rule in sorted(by_rule)
            )
            raise BenchError(
                f"the records of {task} were scored by different rules and cannot be compared: {listed}. `bench run` "
                "with the experiment file does those by an earlier rule again; or move the files of one rule elsewhere"
            )


def _first(records: Sequence[Record]) -> str:
    """Return the names of the first of several records' files, in order, as far as a message has room for them."""
    names = sorted(f"{record.file.stem or record.stem}.json" for record in records)
    return ", ".join(names[:_MOST_NAMES]) + (" and others" if len(names) > _MOST_NAMES else "")


def planned(experiment: Path) -> dict[str, dict[Key, dict[int, Spec]]]:
    """Return the runs of an experiment file, in an order as `bench run` does them: by task, then by label.

    Neither data nor encoders need be there. What has no files of tuned settings yet has no runs: with the suite's own
    they would be others.

    Args:
        experiment: The file, named from the working folder: specifications name encoders so.

    Raises:
        UsageError: The file has mistakes.
    """
    file = read_experiment(experiment)
    if file.problems:
        raise UsageError([f"{experiment}: {problem}" for problem in file.problems])
    stages: dict[str, dict[Key, dict[int, Spec]]] = {}
    for stage in file.stages:
        tasks = dict.fromkeys(task for part in stage.parts for task in part.request.tasks)
        labels = [(part, label) for part in stage.parts for label in part.labels.values()]
        runs = stages[stage.name] = {
            (task, label): {} for task in tasks for part, label in labels if task in part.request.tasks
        }
        for part in stage.parts:
            if not part.untuned:
                for spec in _specifications(part.request, experiment.parent):
                    runs[spec.task, part.labels[spec.method]][spec.seed] = spec
    return stages


def _specifications(request: RunRequest, folder: Path) -> list[Spec]:
    """Return the requested runs, with the sizes of a budget as they are with the suite's encoders.

    The shapes of those are part of the package, so an experiment may name others of the same shapes, by folders that
    are not on this machine.
    """
    models, changes = {}, []
    for change in request.overrides:
        key, _, value = change.partition("=")
        if key.endswith(_MODEL):
            models[key.removesuffix(_MODEL)] = _place(str(parse_value(value)), folder)
        else:
            changes.append(change)
    request = replace(request, overrides=changes)
    if request.budget:
        from bench.config.budget import plan_within  # imports torch

        specs = plan_within(request)[0]
    else:
        specs = make_plan(request)
    return [
        replace(
            spec,
            streams={
                name: {**source, "model": models.get(name, source["model"])} for name, source in spec.streams.items()
            },
        )
        for spec in specs
    ]


def _place(model: str, folder: Path) -> str:
    """Return a model's folder as seen from the working folder; any other name unchanged."""
    return os.path.normpath(folder / model) if model.startswith("./") else model
