"""One method on a task, ready to be measured: streams with random weights, the head, and random samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

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
from bench.training.optimizer import make_optimizer
from bench.training.setup import apply_memory_options, build_model, build_parts
from bench.training.step import take_step

_STEPS = 1000  # of the training that methods prepare for; steps from its middle are measured

Batch = dict[str, Tensor]


class Subject:
    """A model that repeats a run's training step, and its scoring, on one batch.

    Attributes:
        parameters: Its numbers of parameters.
        train: The batch to train on.
        test: The batch to score.
    """

    def __init__(self, spec: Spec, copy: SharingCopy, accelerator: Accelerator, train: Batch, test: Batch) -> None:
        """Build the model.

        Args:
            spec: The method and its task.
            copy: Streams of its own, to which the method is attached.
            accelerator: Device and precision.
            train: Samples of the training split, on the device.
            test: Samples of a test split, on the device.

        Raises:
            BenchError: The method cannot adapt the streams.
        """
        self.task, self.method, self.recipe = build_parts(spec)
        self.accelerator, self.train, self.test = accelerator, train, test
        self._copy = copy
        self.model, self.parameters = build_model(spec, self.task, self.method, copy.streams, None)
        apply_memory_options(self.model, self.recipe, accelerator)
        copy.settle()
        self.model.to(accelerator.device)
        optimizer = make_optimizer(self.model, self.recipe, self.method)
        self._wrapped, self.optimizer = accelerator.prepare(self.model, optimizer)
        self.method.before_training(_STEPS)
        self._taken = _STEPS // 2

    def step(self) -> None:
        """Take a training step."""
        take_step(
            self._wrapped,
            self.method,
            self.task,
            self.train,
            self.optimizer,
            self.accelerator,
            clip=self.recipe.clip,
            step=self._taken,
            micro_batch=self.recipe.micro_batch,
        )
        self._taken += 1

    def score(self) -> None:
        """Run a forward pass on the test batch."""
        with torch.inference_mode(), self.accelerator.autocast():
            self.model(self.test)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Provide the mode for `step`."""
        self.model.train()
        yield

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Provide the mode for `score`."""
        self.model.eval()
        yield

    @contextmanager
    def merged(self) -> Iterator[bool]:
        """Provide the mode for `score` with the method folded into the encoders; yield whether anything was folded.

        Other methods share the encoders' weights and must not compute meanwhile.
        """
        self.model.eval()
        try:
            yield self.method.merge()
        finally:
            self.method.unmerge()
            self._copy.share()

    def operations(self) -> Operations:
        """Return the floating-point operations per sample, as counted by torch.

        Attention is counted in its plain form, whose count is the same on every device. Some operations, such as norms
        of weights, are done once per batch: counts of one and two samples separate these, and each sample has its part
        of them.
        """
        micro_batch = min(self.recipe.micro_batch or _length(self.train), _length(self.train))
        with sdpa_kernel(SDPBackend.MATH):
            train, score = (
                _per_sample([count(n) for n in (1, 2)[:size]], size)
                for count, size in ((self._count_step, micro_batch), (self._count_score, _length(self.test)))
            )
        return Operations(train, score)

    def memory(self) -> StepMemory:
        """Return the memory of a training step, without that of other subjects."""
        device = self.accelerator.device
        with self.training():
            self.step()  # allocates the state of the optimizer
            resident = self._resident()
            other_bytes = torch.cuda.memory_allocated(device) - resident if device.type == "cuda" else 0
            step = bytes_of_step(self.loss, self.step, self.model.parameters(), device) - other_bytes
        return StepMemory("cuda allocator" if device.type == "cuda" else "kept", step, resident)

    def loss(self) -> Tensor:
        """Return the loss of one micro-batch."""
        return self._loss(_first(self.train, self.recipe.micro_batch or _length(self.train)))

    def _loss(self, batch: Batch) -> Tensor:
        with self.accelerator.autocast():
            return self.task.loss(self.model(batch), batch)

    def _count_step(self, samples: int) -> int:
        batch = _first(self.train, samples)
        with self.training(), _counter() as counter:
            loss, extra = self._loss(batch), self.method.loss()
            (loss if extra is None else loss + extra).backward()
        self.optimizer.zero_grad()
        return counter.get_total_flops()

    def _count_score(self, samples: int) -> int:
        batch = _first(self.test, samples)
        autocast, counter = self.accelerator.autocast(), _counter()
        with self.scoring(), torch.no_grad(), autocast, counter:
            self.model(batch)
        return counter.get_total_flops()

    def _resident(self) -> int:
        """Return the bytes that remain allocated between steps."""
        state = [value for entry in self.optimizer.state.values() for value in entry.values()]
        tensors = [*self.model.parameters(), *self.model.buffers(), *state, *self.train.values(), *self.test.values()]
        storages = [
            tensor.untyped_storage() for tensor in tensors if tensor.device.type == self.accelerator.device.type
        ]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def examples(task: Task, streams: MultiStream, samples: int, device: torch.device) -> tuple[Batch, Batch]:
    """Return random samples of the training split and of the first test split.

    Args:
        task: The task.
        streams: Streams whose inputs the samples have.
        samples: Number of samples of each batch.
        device: The device of the batches.

    Raises:
        BenchError: The task has no random samples.
    """
    inputs = {name: stream.input for name, stream in streams.streams.items()}
    generator = torch.Generator().manual_seed(0)
    train, test = (
        {name: values.to(device) for name, values in task.example(split, inputs, samples, generator).items()}
        for split in ("train", task.test_splits[0])
    )
    return train, test


class _OneModule(nullcontext[None]):
    """Stands in for the tracker of modules in torch's counter: all operations belong to the whole.

    Torch's own hooks every module and fails for some inputs, such as views of parameters without gradients.
    """

    parents = frozenset({"Global"})


def _counter() -> FlopCounterMode:
    """Return a counter of all operations, which includes in-place products, unlike torch's by itself."""
    aten = torch.ops.aten
    counter = FlopCounterMode(display=False, custom_mapping={aten.addmm_: _product, aten.baddbmm_: _product})
    counter.mod_tracker = _OneModule()  # type: ignore[assignment]
    return counter


def _product(target: Sequence[int], left: Sequence[int], right: Sequence[int], *_: object, **__: object) -> int:
    """Return the operations of a product of matrices, or of batches of them, from their shapes."""
    return 2 * math.prod(left) * right[-1]


def _first(batch: Mapping[str, Tensor], samples: int) -> Batch:
    return {name: values[:samples] for name, values in batch.items()}


def _length(batch: Mapping[str, Tensor]) -> int:
    return len(next(iter(batch.values())))


def _per_sample(counts: list[int], samples: int) -> float:
    """Return the operations per sample of a batch, from the counts of one sample and, for larger batches, two."""
    marginal = counts[-1] - counts[0] if len(counts) > 1 else 0
    return marginal + (counts[0] - marginal) / samples
