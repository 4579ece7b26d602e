"""The base class of tasks: a task is a dataset, a head, a loss and scores."""

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


class Samples(Protocol):
    """The samples of one split: `samples[i]` is a dict of arrays, with the same keys and shapes for every sample."""

    names: Sequence[str]
    """The name of each sample in the release, for messages."""
    groups: Sequence[str] | None = None
    """The source of each sample, such as an image, if several samples can share one: these are not independent."""
    left_out: Sequence[DataError] = ()
    """The errors of annotation entries that are therefore not samples, one for each entry. A run refuses the split, or
    counts them as skipped if it skips unreadable samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


class Task(ABC):
    """A task: a dataset, a head, a loss and scores.

    A task is a dataclass: its fields are its settings, and `bench list` shows the first line of its docstring. A sample
    contains, for each stream of the task, an array (T, ...) of T inputs under the stream's name, with the same T for
    all streams or 1 for some, and whatever the loss and the scores need. A task's module is imported to check a command
    line, so heavy libraries are imported within its methods.
    """

    benchmark: ClassVar[str]
    """The common name of the official benchmark."""
    modalities: ClassVar[Mapping[str, str]] = {}
    """The kind of input of each stream: "images", "sounds" or "text". Streams that are not listed accept any."""
    layout: ClassVar[str]
    """The layout of its data, see `bench.datasets.base.Dataset`; tasks over the same release share one."""
    datasets: ClassVar[tuple[str, ...]] = ()
    """The layouts of its official releases, if there are several: those of data sets that are trained together."""
    task_type: ClassVar[str] = "other"
    """The Hugging Face hub's name of this kind of task, for model cards; see https://huggingface.co/tasks."""
    family: ClassVar[str] = ""
    """Its family, if several tasks ask nearly the same: they weigh as one in means over all tasks."""
    metric: ClassVar[str]
    """The primary metric; higher is better."""
    metrics: ClassVar[Mapping[str, str]]
    """All metrics, with a description of each."""
    test_splits: ClassVar[tuple[str, ...]] = ("test",)
    """The splits that are scored once, at the end, separately."""
    scoring_rules: ClassVar[tuple[str, ...]] = ()
    """The scoring rules so far, in a few words each, if they have changed; the last one is current. Scores by different
    rules are not compared, and a run that was scored by an earlier rule is done again."""
    later: ClassVar[tuple[str, ...]] = ()
    """Settings added after the first records: they are left out of a run's id if they have their defaults."""
    sources: ClassVar[tuple[str, ...]] = ("generated", "official", "own")
    """The values of a suite's `data.source` that make sense for its data."""
    separate_streams: ClassVar[bool] = False
    """Whether each stream must be encoded alone, so that methods whose streams read each other are refused."""

    def to_config(self) -> dict[str, Any]:
        """Return the settings that identify a run, without later settings that have their defaults."""
        values = asdict(self)  # type: ignore[call-overload]  # every task is a dataclass
        return {
            name: value
            for name, value in values.items()
            if name not in self.later or value != getattr(type(self), name)
        }

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check the streams that a suite has for the task, before anything is loaded. By default all are accepted.

        Args:
            streams: Names of the streams.

        Raises:
            ValueError: The task cannot use these streams.
        """
        return None

    def check_data(self, root: Path, streams: Sequence[str]) -> None:
        """Check a user's own data, before any run: without decoding media. By default nothing is checked.

        Args:
            root: What `samples` gets.
            streams: Names of the streams.

        Raises:
            DataError: The data cannot be used.
            UsageError: The same, with several messages.
        """
        return None

    @abstractmethod
    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Return the samples of a split of a release.

        Args:
            root: Folder of the release; for a user's own data, its folder or file.
            split: "train", "val" or one of `test_splits`.
            inputs: The form of each stream's input, by stream.

        Raises:
            DataError: A file is missing or broken, now or when a sample is read.
        """

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return the files that a split is read from, annotations and media, whether they exist or not.

        A run is done again once one of them has changed. By default, all files below `root`.

        Args:
            root: Folder of the release.
            split: The split.

        Raises:
            DataError: An annotation file is missing or broken.
        """
        return (path for path in sorted(root.rglob("*")) if path.is_file())

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return a batch of random samples, as large as real ones, on which `bench profile` measures costs.

        Args:
            split: The split whose samples they imitate.
            inputs: The form of each stream's input, by stream.
            samples: Number of samples.
            generator: Draws, on the CPU.

        Returns:
            Tensors with the names, types and dimensions of a batch of `samples`.

        Raises:
            BenchError: The task defines no random samples.
        """
        raise BenchError(
            f"{type(self).__name__} has no random samples, which `bench profile` needs: define its `example`"
        )

    def columns(self, stream: str) -> tuple[str, ...]:
        """Return the columns of a sample that depend on a stream's input: the input itself, and related ones.

        Args:
            stream: Name of the stream.
        """
        return (stream,)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """Return a message if nothing can be learned from a split, such as if all masks are empty; else None.

        It is called before a run starts. By default nothing is checked.

        Args:
            samples: The split.
            read: The number and the tensors of each sample that the run uses, read one by one: in a sound split, the
                first few are enough.

        Returns:
            What is wrong, with an example and what was expected.
        """
        return None

    @abstractmethod
    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return the head, with random weights.

        Args:
            widths: Width of each stream, by name.
            samples: The training split, which determines what is predicted; None for the official benchmark's classes.
        """

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a randomly augmented training batch; unchanged by default.

        Args:
            batch: Tensors (B, ...), by name.
            generator: Makes all draws, on the CPU.
        """
        return batch

    @abstractmethod
    def loss(self, output: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            output: The head's output: a tensor (B, T, ...), or several by name; (B, ...) if the head pools.
            batch: Tensors (B, ...), by name.
        """

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return a picture of a sample with the truth and the prediction, for `bench show`.

        Args:
            samples: A test split.
            index: Number of the sample.
            output: The head's output: arrays (T, ...) by name, without the T if the head pools; a single tensor has
                the name `output`.

        Raises:
            BenchError: The task cannot be drawn.
        """
        raise BenchError(f"{type(self).__name__} cannot be drawn: define its `draw`")

    @abstractmethod
    def score(self, output: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the measures of each sample, by name: usually the metrics, (B,) each, in percent.

        Measures may have more dimensions, (B, ...), if `per_sample` and `summarize` make metrics of them.

        Args:
            output: The head's output: a tensor (B, T, ...), or several by name; (B, ...) if the head pools.
            batch: Tensors (B, ...), by name.
        """

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the score of each sample in percent, (samples,), by those metrics that are means over samples.

        Args:
            measured: The measures of `score` of all samples, by name; returned by default.
        """
        return measured

    def summarize(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics over all samples of a split: by default, the means.

        Args:
            measured: The measures of `score` of all samples, (samples,) by name.
        """
        return {name: values.mean().item() for name, values in self.per_sample(measured).items()}


TextReadout = Literal["words", "cls", "mean"]
"""The vectors of a text that the decoder attends to."""
