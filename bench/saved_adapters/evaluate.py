"""Scoring a saved adapter, and comparing the scores with its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.config.preflight import check_encoders
from bench.config.run_options import RunOptions
from bench.errors import BenchError, UsageError, did_you_mean
from bench.measurement.denormals import denormals_flushed
from bench.records import provenance
from bench.records.environment import environment
from bench.records.schema import Environment, Record
from bench.saved_adapters import save_load
from bench.saved_adapters.opening import open_adapter
from bench.system import distributed
from bench.training.evaluation import concatenate, score
from bench.training.setup import Setup, device_name, set_up

_ROUNDING_FIELDS = ("device", "processor", "instructions", "threads", "variables", "precision", "processes", "versions")
"""The fields of an environment that decide how sums are rounded."""

_ROUNDING = 1e-4  # points that the mean of equal decisions may differ by, even between two processes on one machine
_FLIPPED = {"no": 1e-3, "bf16": 1e-2, "fp16": 1e-2}
"""Fraction of a split's items that may score differently where sums are rounded differently, by precision.

Measured with LoRA on `mini`: with torch's plain kernels instead of AVX-512, none of AVE's 2,000 seconds was classified
differently, and the mIoU of AVS changed by 3e-7 points; with bfloat16 instead of float32, 8 seconds (0.4%) were, and
the mIoU changed by 0.006 points.
"""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a saved adapter by split and metric, in percent, and the record of the run that trained it.

    As in the record, the split `test` means the samples of all test splits.

    Attributes:
        scores: Scores by split and metric.
        record: The record of the run.
        environment: The environment that the scores were measured in.
        changed: Names of what has changed since the run was recorded, as far as its record shows it.
    """

    scores: dict[str, dict[str, float]]
    record: Record
    environment: Environment
    changed: list[str]

    def recorded(self, split: str) -> dict[str, float]:
        """Return the recorded scores of a split; empty if there are none."""
        scores = self.record.scores
        if scores is None:
            return {}
        return scores.test if split == "test" else (scores.splits or {}).get(split, {})

    @property
    def same_machine(self) -> bool:
        """Whether sums are rounded as they were for the record, as far as is known."""
        recorded = self.record.environment
        pairs = [(getattr(recorded, name, None), getattr(self.environment, name)) for name in _ROUNDING_FIELDS]
        return all(a is not None and a == b for a, b in pairs)

    def tolerance(self, split: str) -> float:
        """Return by how many points a score of a split may differ from the recorded one.

        If sums are rounded in the same way, every decision is the same. Otherwise logits differ in their last digits,
        and decisions that were almost ties may change. A score is a mean over items: one item may change from zero to
        full score, and so may a fraction of them that depends on the precision.
        """
        data, scores, recorded = self.record.data, self.record.scores, self.record.environment
        if self.same_machine or not data or not scores:
            return _ROUNDING
        items = scores.test_samples if split == "test" else data.counts.get(split, scores.test_samples)
        fraction = max(_FLIPPED[_precision(env)] for env in (self.environment, recorded) if env)
        return 100 * (1 / max(1, items) + fraction)

    def check(self) -> None:
        """Compare the scores with the recorded ones, for the splits that were recorded.

        Raises:
            BenchError: Scores differ. The message shows all of them.
        """
        differing = [
            f"{split} {metric} is {value!r}, not {recorded[metric]!r} (allowed: {self.tolerance(split):.3g} points)"
            for split, scores in self.scores.items()
            for metric, value in scores.items()
            if metric in (recorded := self.recorded(split))
            and not _equal(value, recorded[metric], self.tolerance(split))
        ]
        if not differing:
            return
        cause = " and ".join(self.changed) or "the adapter, its record, an encoder, the code or the data"
        scores = "; ".join(differing)
        raise BenchError(f"the scores are not those of the record: {scores}. Since then {cause} has changed")


@denormals_flushed()
def evaluate(
    folder: Path,
    options: RunOptions,
    task: str | None = None,
    split: str | None = None,
    encoders: Mapping[str, str | Path] | None = None,
    *,
    other_encoders: bool = False,
) -> Evaluation:
    """Score a saved adapter on the task and the data that it was trained for.

    Args:
        folder: Folder of the saved adapter.
        options: The folder of the data, and the device.
        task: The expected task; None to accept any.
        split: The split to score; None for every test split, and for the samples of all of them.
        encoders: Folders of encoders, by stream; others are those of the record, or of the Hugging Face cache.
        other_encoders: Whether to accept encoders that the adapter was not trained on.

    Raises:
        UsageError: The adapter was trained for another task, the split or an encoder does not exist, or an encoder is
            not the one it was trained on.
        BenchError: The adapter, an encoder or the data cannot be read.
    """
    record, spec = open_adapter(folder, encoders, other_encoders=other_encoders)
    if task not in (None, spec.task):
        raise UsageError(f"{folder} was trained for {spec.task} and has the head of that task, not of {task}")
    check_encoders([spec])
    setup = set_up(spec, options)
    if split is not None and split not in setup.data.datasets:
        raise UsageError(f"unknown split {split}: {did_you_mean(split, setup.data.datasets)}")
    save_load.load(folder, setup.model, setup.method)
    measured = {}
    for name in (split,) if split else setup.task.test_splits:
        label = f"scoring {spec.label} {name}"
        data = setup.data.datasets[name]
        measured[name], _ = score(setup.model, setup.task, data, setup.recipe, setup.accelerator, label)
    scores = {name: setup.task.summarize(values) for name, values in measured.items()}
    if not split:
        scores["test"] = setup.task.summarize(concatenate(list(measured.values())))
    changed = provenance.differences(record.provenance, provenance.provenance_of(spec))
    if record.data and record.data.fingerprint != setup.data.fingerprint:
        changed.append("the data")
    return Evaluation(scores, record, _environment(setup), changed)


def _environment(setup: Setup) -> Environment:
    accelerator = setup.accelerator
    present = environment(device_name(accelerator.device), torch.get_num_threads(), accelerator.mixed_precision)
    return replace(present, processes=distributed.count())


def _precision(environment: Environment) -> str:
    """Return the precision of an environment; older records lack it, and mean what `auto` selects on the device."""
    return environment.precision or ("no" if environment.device == "cpu" else "bf16")


def _equal(value: float, recorded: float, tolerance: float) -> bool:
    return abs(value - recorded) <= tolerance or (math.isnan(value) and math.isnan(recorded))
