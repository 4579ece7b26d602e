"""Scores a saved adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import artefact
from bench.errors import UsageError
from bench.plan import Spec
from bench.records import Record
from bench.registry import did_you_mean
from bench.runner import set_up
from bench.sweep import RunOptions
from bench.train import score


@dataclass(frozen=True)
class Evaluation:
    """The scores of a saved adapter on a split, by metric, in percent, and the record of the run that trained it."""

    scores: dict[str, float]
    record: Record


def evaluate(folder: Path, options: RunOptions, task: str | None = None, split: str = "test") -> Evaluation:
    """Scores a saved adapter on a split of the task and the data that it was trained for.

    Args:
        folder: of the saved adapter.
        options: where the data lies, and the device.
        task: the task, for a check; None for the one that it was trained for.
        split: "train", "val" or "test".

    Raises:
        UsageError: it was trained for another task, or there is no such split.
        BenchError: the adapter, an encoder or the data cannot be read.
    """
    record = artefact.read_record(folder)
    spec = Spec(**record.spec)
    if task not in (None, spec.task):
        raise UsageError(f"{folder} was trained for {spec.task}, whose head it holds, not for {task}")
    setup = set_up(spec, options)
    if split not in setup.data.datasets:
        raise UsageError(f"unknown split {split}: {did_you_mean(split, setup.data.datasets)}")
    artefact.load(folder, setup.model, setup.method)
    label = f"scoring {spec.label}"
    scores, _ = score(setup.model, setup.task, setup.data.datasets[split], setup.recipe, setup.accelerator, label)
    return Evaluation(scores, record)
