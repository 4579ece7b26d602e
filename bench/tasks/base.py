"""What a task is: a dataset, a head, a loss and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from bench.errors import BenchError, DataError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.streams.inputs import Input
    from bench.tasks.model import Head

    Inputs = Mapping[str, Input]
    from bench.errors import DataError


class Samples(Protocol):
    """The samples of one split: `samples[i]` is a dict of arrays, the same keys and shapes for every sample."""

    names: Sequence[str]
    """What each sample is called in the release, for messages."""
    groups: Sequence[str] | None = None
    """What each sample is taken from, as a picture, where several may be: they are not independent of one another."""
    left_out: Sequence[DataError] = ()
    """What is wrong with entries of the annotations, which are no samples therefore, one an entry. A run refuses them,
    or counts them as skipped where it is to skip what cannot be read."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


class Task(ABC):
    """A task. It is a dataclass: its fields are its settings; its docstring's first line is what `bench list` shows.

    A sample holds, for each stream that the task joins, an array (T, ...) of T inputs under the stream's name, and what
    the loss and the scores need. A task's module is imported to check a command line, so heavy libraries are imported
    in its methods.
    """

    benchmark: ClassVar[str]
    """The official benchmark, by the name that people know it by."""
    modalities: ClassVar[Mapping[str, str]] = {}
    """By stream, what its encoder must read: "images", "sounds" or "text"; a stream that is not here takes any."""
    layout: ClassVar[str]
    """The layout that its data lies in; tasks over the same release share one."""
    metric: ClassVar[str]
    """The primary metric; higher is better."""
    metrics: ClassVar[Mapping[str, str]]
    """All metrics, each with a sentence."""
    test_splits: ClassVar[tuple[str, ...]] = ("test",)
    """The splits that are scored once, at the end, each under its own name."""
    scoring_rules: ClassVar[tuple[str, ...]] = ()
    """How predictions have been scored, a few words each, where that has changed; the last one is today's. Scores by
    different rules are not compared, and a run that was scored by an earlier one is done again."""
    later: ClassVar[tuple[str, ...]] = ()
    """Settings that came when there were records already: they are left out of a run's id where they have defaults."""

    def to_config(self) -> dict[str, Any]:
        """What tells these settings from others, as plain values: so a run keeps its id though fields came later."""
        values = asdict(self)  # type: ignore[call-overload]  # every task is a dataclass
        return {
            name: value
            for name, value in values.items()
            if name not in self.later or value != getattr(type(self), name)
        }

    @abstractmethod
    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """The samples of a split ("train", "val" or one of `test_splits`) of the release under `root`.

        Args:
            root: folder of the release.
            split: which split.
            inputs: what each stream reads, by the stream's name.

        Raises:
            DataError: a file is missing or broken, then or when a sample is taken.
        """

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """The files that a split of the release under `root` is read from: annotations and media, whether there or not.

        A run is done again once one of them has changed. By default these are all files below `root`.

        Raises:
            DataError: an annotation file is missing or broken.
        """
        return (path for path in sorted(root.rglob("*")) if path.is_file())

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """A batch of made-up samples, as large as real ones: what `bench profile` measures costs on.

        Args:
            split: which split's samples they are to be like.
            inputs: what each stream reads, by the stream's name.
            samples: how many.
            generator: draws them, on the CPU.

        Returns:
            What a batch of `samples` holds: tensors of the same names, types and dimensions.

        Raises:
            BenchError: the task cannot make any up.
        """
        raise BenchError(
            f"{type(self).__name__} makes up no samples, which `bench profile` needs: define its `example`"
        )

    def columns(self, stream: str) -> tuple[str, ...]:
        """The columns of a sample that come from a stream's input: its own, and what else tells of it in training."""
        return (stream,)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """What is wrong with a split that teaches nothing, as one whose masks are all empty; None if nothing is.

        It is asked before a run begins. By default nothing is looked for.

        Args:
            samples: the split.
            read: the number and the tensors of each of its samples that the run uses, read as they are taken: what is
                sound shows in the first few.

        Returns:
            What is wrong, with an example and what was expected.
        """
        return None

    @abstractmethod
    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """The head, with random weights, on streams of these widths.

        `samples` tells what there is to predict; without them it is what the benchmark has.
        """

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """A training batch changed by chance, every draw from `generator` (on the CPU); as it is by default."""
        return batch

    @abstractmethod
    def loss(self, output: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of a batch, from what the head gave: a tensor (B, T, ...), or several by name."""

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """A picture of a sample with what is true and what the head gave, for `bench show`.

        Args:
            samples: of a test split.
            index: which sample.
            output: what the head gave: arrays (T, ...) by name; `output` where it gives one tensor.

        Raises:
            BenchError: the task cannot be drawn.
        """
        raise BenchError(f"{type(self).__name__} has no pictures: its `draw` is not there")

    @abstractmethod
    def score(self, output: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is measured of each sample, by name: each (B,). As a rule the metrics, in percent."""

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What each sample scores, in percent, by those metrics that are means over samples: each (samples,).

        By default what `score` measured.
        """
        return measured

    def summarise(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """The metrics over all samples of a split, from what `score` measured of each: by default the means."""
        return {name: values.mean().item() for name, values in self.per_sample(measured).items()}


Reads = Literal["words", "cls", "mean"]
"""What of a text the decoder attends to."""
