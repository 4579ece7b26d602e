"""The cost of a training step: its time as a ratio to LoRA's, with methods alternating in one process, and memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.check.baseline import Cost
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

BATCH_DIVISOR = 4  # a fraction of the batch size is used: many short turns are less affected by other processes
_STEPS = 1000  # total steps announced to a method; AdaLoRA's schedule depends on it


def costs_of(specs: Sequence[Spec], options: RunOptions, rounds: int) -> dict[str, Cost]:
    """Return the cost of a training step of each method, on the first training samples and one CPU thread.

    Other processes disturb a single thread less than several that wait for one another, and the ratios do not depend
    on the number of threads.

    Args:
        specs: One run per method, including LoRA, all of one task.
        options: Data folder and device.
        rounds: Number of turns of each method.

    Returns:
        Costs by method.

    Raises:
        DataError: The data is missing or broken.
        UsageError: The data or the device does not exist.
        BenchError: An encoder cannot be loaded, or a method cannot adapt it.
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
    """A model that repeats the training step on one batch."""

    def __init__(self, spec: Spec, options: RunOptions) -> None:
        self.setup = setup = set_up(spec, options)
        accelerator, recipe = setup.accelerator, setup.recipe
        batch = next(iter(batches(load(setup.data.datasets["train"], max(1, recipe.batch_size // BATCH_DIVISOR)))))
        self.batch = {name: values.to(accelerator.device) for name, values in batch.items()}
        optimizer = make_optimizer(setup.model, recipe, setup.method)
        self.model, self.optimizer = accelerator.prepare(setup.model, optimizer)
        setup.method.before_training(_STEPS)
        self.model.train()
        self.steps = 0

    def step(self) -> None:
        setup = self.setup
        parts = self.model, setup.method, setup.task, self.batch, self.optimizer, setup.accelerator
        take_step(*parts, clip=setup.recipe.clip, step=self.steps)
        self.steps += 1

    def loss(self) -> Tensor:
        with self.setup.accelerator.autocast():
            return self.setup.task.loss(self.model(self.batch), self.batch)
