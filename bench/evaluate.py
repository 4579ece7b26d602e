"""Scores a saved adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import artefact
from bench.again import specification
from bench.arithmetic import denormals_flushed
from bench.errors import UsageError
from bench.registry import did_you_mean
from bench.schema import Record
from bench.scoring import score, together
from bench.setup import set_up
from bench.sweep import RunOptions


@dataclass(frozen=True)
class Evaluation:
    """The scores of a saved adapter by split and metric, in percent, and the record of the run that trained it.

    `test` stands for the samples of all test splits together, as in the record.
    """

    scores: dict[str, dict[str, float]]
    record: Record

    def recorded(self, split: str) -> dict[str, float]:
        """What the record says of a split; nothing where it says nothing."""
        scores = self.record.scores
        if scores is None:
            return {}
        return scores.test if split == "test" else (scores.splits or {}).get(split, {})


@denormals_flushed()
def evaluate(folder: Path, options: RunOptions, task: str | None = None, split: str | None = None) -> Evaluation:
    """Scores a saved adapter on the task and the data that it was trained for.

    Args:
        folder: of the saved adapter.
        options: where the data lies, and the device.
        task: the task, for a check; None for the one that it was trained for.
        split: one split; None for every test split and all of them together.

    Raises:
        UsageError: it was trained for another task, or there is no such split.
        BenchError: the adapter, an encoder or the data cannot be read.
    """
    record = artefact.read_record(folder)
    spec = specification(record, folder / artefact.RECORD)
    if task not in (None, spec.task):
        raise UsageError(f"{folder} was trained for {spec.task}, whose head it holds, not for {task}")
    setup = set_up(spec, options)
    if split is not None and split not in setup.data.datasets:
        raise UsageError(f"unknown split {split}: {did_you_mean(split, setup.data.datasets)}")
    artefact.load(folder, setup.model, setup.method)
    measured = {}
    for name in (split,) if split else setup.task.test_splits:
        label = f"scoring {spec.label} {name}"
        data = setup.data.datasets[name]
        measured[name], _ = score(setup.model, setup.task, data, setup.recipe, setup.accelerator, label)
    scores = {name: setup.task.summarise(values) for name, values in measured.items()}
    if not split:
        scores["test"] = setup.task.summarise(together(list(measured.values())))
    return Evaluation(scores, record)
