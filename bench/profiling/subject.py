"""One method on a task, ready to be measured: streams with random weights, the head, and made-up samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.config.spec import Spec
from bench.measurement.memory import bytes_of_step
from bench.profiling.record import Operations, StepMemory
from bench.profiling.shared_weights import SharingCopy
from bench.streams.lockstep import MultiStream
from bench.tasks.base import Task
from bench.training.optimizer import make_optimiser
from bench.training.setup import apply_memory_options, build_model, build_parts
from bench.training.step import take_step

_STEPS = 1000  # that a method is told to expect; those measured are from the middle

Batch = dict[str, Tensor]


class Subject:
    """A model that takes a run's own training step, and scores, on one batch again and again.

    Attributes:
        parameters: how many it has.
        train: the batch that is trained on.
        test: the batch that is scored.
    """

    def __init__(self, spec: Spec, copy: SharingCopy, accelerator: Accelerator, train: Batch, test: Batch) -> None:
        """Builds the model.

        Args:
            spec: the method and its task.
            copy: streams of its own; the method is attached to them.
            accelerator: device and precision.
            train: samples of the training split, on the device.
            test: samples of a test split, on the device.

        Raises:
            BenchError: the method cannot adapt the streams.
        """
        self.task, self.method, self.recipe = build_parts(spec)
        self.accelerator, self.train, self.test = accelerator, train, test
        self._copy = copy
        self.model, self.parameters = build_model(spec, self.task, self.method, copy.streams, None)
        apply_memory_options(self.model, self.recipe, accelerator)
        copy.settle()
        self.model.to(accelerator.device)
        self._wrapped, self.optimiser = accelerator.prepare(self.model, make_optimiser(self.model, self.recipe))
        self.method.before_training(_STEPS)
        self._taken = _STEPS // 2

    def step(self) -> None:
        """A training step."""
        take_step(
            self._wrapped,
            self.method,
            self.task,
            self.train,
            self.optimiser,
            self.accelerator,
            clip=self.recipe.clip,
            step=self._taken,
            micro_batch=self.recipe.micro_batch,
        )
        self._taken += 1

    def score(self) -> None:
        """A forward pass of the batch that is scored."""
        with torch.inference_mode(), self.accelerator.autocast():
            self.model(self.test)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Where `step` belongs."""
        self.model.train()
        yield

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Where `score` belongs."""
        self.model.eval()
        yield

    @contextmanager
    def merged(self) -> Iterator[bool]:
        """Where `score` belongs once the method is folded into the encoders; gives whether anything was.

        The encoders' weights are other methods' too, which must not compute meanwhile.
        """
        self.model.eval()
        try:
            yield self.method.merge()
        finally:
            self.method.unmerge()
            self._copy.share()

    def operations(self) -> Operations:
        """Floating-point operations a sample, as torch's counter counts them.

        Attention is counted in its plain form, which gives the same numbers on every device. Some work, as the norms of
        weights, is done once for a batch: one and two samples tell it from the rest, and each has its share of it.
        """
        micro_batch = min(self.recipe.micro_batch or _length(self.train), _length(self.train))
        with sdpa_kernel(SDPBackend.MATH):
            train, score = (
                _per_sample([count(n) for n in (1, 2)[:size]], size)
                for count, size in ((self._count_step, micro_batch), (self._count_score, _length(self.test)))
            )
        return Operations(train, score)

    def memory(self) -> StepMemory:
        """The memory of a training step, without that of other subjects."""
        device = self.accelerator.device
        with self.training():
            self.step()  # from here on there is a state of the optimiser
            resident = self._resident()
            others = torch.cuda.memory_allocated(device) - resident if device.type == "cuda" else 0
            step = bytes_of_step(self.loss, self.step, self.model.parameters(), device) - others
        return StepMemory("cuda allocator" if device.type == "cuda" else "kept", step, resident)

    def loss(self) -> Tensor:
        """The loss of as many samples as go through the model at a time."""
        return self._loss(_first(self.train, self.recipe.micro_batch or _length(self.train)))

    def _loss(self, batch: Batch) -> Tensor:
        with self.accelerator.autocast():
            return self.task.loss(self.model(batch), batch)

    def _count_step(self, samples: int) -> int:
        batch = _first(self.train, samples)
        with self.training(), _counter() as counter:
            loss, extra = self._loss(batch), self.method.loss()
            (loss if extra is None else loss + extra).backward()
        self.optimiser.zero_grad()
        return counter.get_total_flops()

    def _count_score(self, samples: int) -> int:
        batch = _first(self.test, samples)
        autocast, counter = self.accelerator.autocast(), _counter()
        with self.scoring(), torch.no_grad(), autocast, counter:
            self.model(batch)
        return counter.get_total_flops()

    def _resident(self) -> int:
        """Bytes of what is there between steps."""
        state = [value for entry in self.optimiser.state.values() for value in entry.values()]
        tensors = [*self.model.parameters(), *self.model.buffers(), *state, *self.train.values(), *self.test.values()]
        storages = [
            tensor.untyped_storage() for tensor in tensors if tensor.device.type == self.accelerator.device.type
        ]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def examples(task: Task, streams: MultiStream, samples: int, device: torch.device) -> tuple[Batch, Batch]:
    """Made-up samples of the training and of the first test split, on a device.

    Raises:
        BenchError: the task makes none up.
    """
    inputs = {name: stream.input for name, stream in streams.streams.items()}
    generator = torch.Generator().manual_seed(0)
    train, test = (
        {name: values.to(device) for name, values in task.example(split, inputs, samples, generator).items()}
        for split in ("train", task.test_splits[0])
    )
    return train, test


def _counter() -> FlopCounterMode:
    """What counts operations; torch's own does not know of products that are added in place."""
    aten = torch.ops.aten
    return FlopCounterMode(display=False, custom_mapping={aten.addmm_: _product, aten.baddbmm_: _product})


def _product(target: Sequence[int], left: Sequence[int], right: Sequence[int], *_: object, **__: object) -> int:
    """Operations of a product of matrices, or of batches of them, from the shapes."""
    return 2 * math.prod(left) * right[-1]


def _first(batch: Mapping[str, Tensor], samples: int) -> Batch:
    return {name: values[:samples] for name, values in batch.items()}


def _length(batch: Mapping[str, Tensor]) -> int:
    return len(next(iter(batch.values())))


def _per_sample(counts: list[int], samples: int) -> float:
    """What each of so many samples comes to, from the counts of one sample and, where there are more, of two."""
    each = counts[-1] - counts[0] if len(counts) > 1 else 0
    return each + (counts[0] - each) / samples
