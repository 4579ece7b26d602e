"""What a training step costs: its time against LoRA's, all methods by turns in one process, and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.config.reference import REFERENCE
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.data.loader import batches, load
from bench.measurement.memory import bytes_of_step
from bench.measurement.speed import by_turns
from bench.measurement.spread import Spread
from bench.training.optimizer import make_optimizer
from bench.training.setup import set_up
from bench.training.step import take_step

SHARE = 4  # the part of a batch that is taken: more and shorter turns are disturbed less
_STEPS = 1000  # that a method is told to expect; AdaLoRA plans by it


@dataclass(frozen=True)
class Cost:
    """The cost of a training step.

    Attributes:
        time: against LoRA's: the median over rounds in which the methods take turns.
        low: the first quartile of the same.
        high: the third.
        bytes: of memory, as `bench.measurement.memory.bytes_of_step` takes them.
    """

    time: float
    low: float
    high: float
    bytes: int


def costs_of(specs: Sequence[Spec], options: RunOptions, rounds: int) -> dict[str, Cost]:
    """Return what a training step of each method costs, on the first training samples, on one thread of the CPU.

    What else the machine does disturbs one thread less than two that wait for each other, and the ratios do not depend
    on how many there are.

    Args:
        specs: a run of each method, LoRA among them, all of one task.
        options: where the data is, and what computes.
        rounds: how often each method takes its turn.

    Returns:
        By method. Settings are those of the runs, LoRA's too.

    Raises:
        DataError, UsageError: the data is not there or broken, or the device is not there.
        BenchError: an encoder cannot be loaded, or a method cannot adapt it.
    """
    subjects = {spec.method: _Subject(spec, options) for spec in specs}
    device = subjects[REFERENCE].setup.accelerator.device
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = by_turns({name: subject.step for name, subject in subjects.items()}, REFERENCE, rounds, device)
    finally:
        torch.set_num_threads(threads)
    return {name: _cost(subjects[name], ratio.times) for name, ratio in times.items()}


def _cost(subject: _Subject, time: Spread) -> Cost:
    setup = subject.setup
    memory = bytes_of_step(subject.loss, subject.step, setup.model.parameters(), setup.accelerator.device)
    return Cost(round(time.median, 4), round(time.low, 4), round(time.high, 4), memory)


class _Subject:
    """A model that takes the training's own step on one batch again and again."""

    def __init__(self, spec: Spec, options: RunOptions) -> None:
        self.setup = setup = set_up(spec, options)
        accelerator, recipe = setup.accelerator, setup.recipe
        batch = next(iter(batches(load(setup.data.datasets["train"], max(1, recipe.batch_size // SHARE)))))
        self.batch = {name: values.to(accelerator.device) for name, values in batch.items()}
        self.model, self.optimizer = accelerator.prepare(setup.model, make_optimizer(setup.model, recipe))
        setup.method.before_training(_STEPS)
        self.model.train()
        self.taken = 0

    def step(self) -> None:
        setup = self.setup
        part = self.model, setup.method, setup.task, self.batch, self.optimizer, setup.accelerator
        take_step(*part, clip=setup.recipe.clip, step=self.taken)
        self.taken += 1

    def loss(self) -> Tensor:
        with self.setup.accelerator.autocast():
            return self.setup.task.loss(self.model(self.batch), self.batch)
