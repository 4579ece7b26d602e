"""A sanity run: a run on two samples that reveals defects of the harness.

The validation split is the training split, so validation scores rise. The targets of the test split are inverted, so
test scores fall as the model learns, and selecting the epoch by them selects another one. Adapters have dropout 0.5,
and a value of the model's output counts as a score of each sample, so scoring a sample again reveals dropout that is
still active, and weights that are not those of the best epoch.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone

import torch
from torch import Tensor

from bench.config.plan import with_values
from bench.config.reference import REFERENCE
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.data.loader import TensorDataset
from bench.errors import DataError, UsageError
from bench.execution.single_run import measure
from bench.records.schema import Record
from bench.tasks.base import Task
from bench.tasks.model import Output
from bench.training.setup import Setup, set_up

SAMPLES = 2
EPOCHS = 10
NAME = f"{REFERENCE}, sanity run"


def sanity_run(spec: Spec, options: RunOptions) -> Record:
    """Train and score like a run, and return the record; if the run fails, the record contains the reason.

    Args:
        spec: Specification of a run of LoRA.
        options: Data folder and device.

    Raises:
        DataError: The data is missing or broken.
        UsageError: The data or the device does not exist.
    """
    recipe = {**spec.recipe, "epochs": EPOCHS, "batch_size": SAMPLES, "eval_batch_size": SAMPLES, "warmup": 0.0}
    spec = replace(with_values(spec, {"dropout": 0.5}), seed=0, recipe=recipe)
    blank = Record.failed(replace(spec, method=NAME), datetime.now(timezone.utc).isoformat(timespec="seconds"))
    try:
        setup = _set_up(spec, options)
        parts, _ = measure(spec, setup, time.perf_counter())
    except (DataError, UsageError):
        raise
    except Exception as error:
        return replace(blank, reason=f"{type(error).__name__}: {error}")
    return replace(blank, status="ok", **parts)


def _set_up(spec: Spec, options: RunOptions) -> Setup:
    """Return the setup of a run with the splits and scores of a sanity run."""
    setup = set_up(spec, options)
    train = setup.data.datasets["train"]
    first = [train[index] for index in range(min(SAMPLES, len(train)))]  # type: ignore[arg-type]  # it has a length
    columns = {name: torch.stack([sample[name] for sample in first]) for name in first[0]}
    streams = setup.model.streams.streams
    inverted = {name: values if name in streams else _inverted(values) for name, values in columns.items()}
    splits = {"train": TensorDataset(columns), "val": TensorDataset(columns)}
    splits |= {split: TensorDataset(inverted) for split in setup.task.test_splits}
    return replace(setup, data=replace(setup.data, datasets=splits), task=_with_output(setup.task))


def _inverted(targets: Tensor) -> Tensor:
    """Return targets with the order of classes reversed, or with foreground and background of a mask swapped."""
    return ~targets if targets.dtype == torch.bool else targets.max() - targets


def _with_output(task: Task) -> Task:
    """Return the task with a value of the output among each sample's scores, since scores may be discrete."""
    task = copy.copy(task)
    score = task.score

    def score_with_output(output: Output, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = output if isinstance(output, Tensor) else next(iter(output.values()))
        return {**score(output, batch), "output": values.flatten(1)[:, 0].double()}

    task.score = score_with_output  # type: ignore[method-assign]
    return task
