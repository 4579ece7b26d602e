"""Scores a saved adapter, and holds the scores against those of its record."""

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
from bench.system import distributed
from bench.training.evaluation import concatenate, score
from bench.training.setup import Setup, device_name, set_up

_ROUNDS = ("device", "processor", "instructions", "threads", "variables", "precision", "processes", "versions")
"""What of an environment decides how sums are rounded."""

_ROUNDING = 1e-4  # points that the mean of equal decisions may differ by: products promise no more to two processes
_FLIPPED = {"no": 1e-3, "bf16": 1e-2, "fp16": 1e-2}
"""Share of a split's items that may score otherwise where sums are rounded otherwise, by precision.

Measured with LoRA on `mini`: with torch's plain kernels in place of AVX-512 none of AVE's 2,000 seconds was decided
otherwise, and the mIoU of AVS was 3e-7 points off; with bfloat16 in place of float32 8 seconds, 0.4%, and 0.006 points.
"""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a saved adapter by split and metric, in percent, and the record of the run that trained it.

    `test` stands for the samples of all test splits together, as in the record.

    Attributes:
        scores: by split and metric.
        record: of the run.
        here: what they were measured on.
        changed: what is no longer as it was when the run was recorded, in words, as far as its record says it.
    """

    scores: dict[str, dict[str, float]]
    record: Record
    here: Environment
    changed: list[str]

    def recorded(self, split: str) -> dict[str, float]:
        """Return what the record says of a split; nothing where it says nothing."""
        scores = self.record.scores
        if scores is None:
            return {}
        return scores.test if split == "test" else (scores.splits or {}).get(split, {})

    @property
    def same_machine(self) -> bool:
        """Whether sums are rounded here as they were for the record, as far as is known."""
        there = self.record.environment
        pairs = [(getattr(there, name, None), getattr(self.here, name)) for name in _ROUNDS]
        return all(one is not None and one == other for one, other in pairs)

    def allowed(self, split: str) -> float:
        """By how many points a score of a split may differ from the recorded one.

        Where sums are rounded alike every decision is the same. Elsewhere logits differ in their last digits, and
        decisions that were all but ties fall otherwise. A score is a mean over items: of these one may score otherwise,
        from nothing to all, and besides that a share that goes by the precision.
        """
        data, scores, there = self.record.data, self.record.scores, self.record.environment
        if self.same_machine or not data or not scores:
            return _ROUNDING
        items = scores.test_samples if split == "test" else data.counts.get(split, scores.test_samples)
        share = max(_FLIPPED[_precision(one)] for one in (self.here, there) if one)
        return 100 * (1 / max(1, items) + share)

    def check(self) -> None:
        """Compare the scores with the recorded ones, of those splits that the record tells of.

        Raises:
            BenchError: with every score that is not the recorded one.
        """
        differing = [
            f"{split} {metric} is {value!r}, not {recorded[metric]!r} (allowed: {self.allowed(split):.3g} points)"
            for split, scores in self.scores.items()
            for metric, value in scores.items()
            if metric in (recorded := self.recorded(split)) and not _equal(value, recorded[metric], self.allowed(split))
        ]
        if not differing:
            return
        why = " and ".join(self.changed) or "the adapter, its record, an encoder, the code or the data"
        scores = "; ".join(differing)
        raise BenchError(f"the scores are not those of the record: {scores}. Since then {why} has changed")


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
        folder: of the saved adapter.
        options: where the data lies, and the device.
        task: the task, for a check; None for the one that it was trained for.
        split: one split; None for every test split and all of them together.
        encoders: where encoders lie, by stream; others lie where the record says, or in the Hugging Face cache.
        other_encoders: score it with encoders that are not those that it was trained on.

    Raises:
        UsageError: it was trained for another task, or there is no such split, or an encoder is not there or another.
        BenchError: the adapter, an encoder or the data cannot be read.
    """
    record, spec = save_load.open_adapter(folder, encoders, other_encoders=other_encoders)
    if task not in (None, spec.task):
        raise UsageError(f"{folder} was trained for {spec.task}, whose head it holds, not for {task}")
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
    return Evaluation(scores, record, _here(setup), changed)


def _here(setup: Setup) -> Environment:
    accelerator = setup.accelerator
    here = environment(device_name(accelerator.device), torch.get_num_threads(), accelerator.mixed_precision)
    return replace(here, processes=distributed.count())


def _precision(of: Environment) -> str:
    """Return the precision; of an older record, which does not tell, what `auto` comes to on its device."""
    return of.precision or ("no" if of.device == "cpu" else "bf16")


def _equal(value: float, recorded: float, allowed: float) -> bool:
    return abs(value - recorded) <= allowed or (math.isnan(value) and math.isnan(recorded))
