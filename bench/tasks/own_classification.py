"""Classification of a user's own data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.tasks.base import Samples
from bench.tasks.own_data import OwnData, OwnSamples

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.user_samples import UserData
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head

_EXAMPLE_CLASSES = 10  # if there are no data, as for `bench profile`


@dataclass
class OwnClassification(OwnData):
    """Your own data (a CSV or image folders): the class of each sample.

    The classes are the labels of the training split. Head: the vectors of all streams after their final norms,
    concatenated, and one linear. Loss: cross-entropy.
    """

    metric = "accuracy"
    metrics = {  # noqa: RUF012
        "accuracy": "share of samples with the right class",
        "macro_accuracy": "share of samples of a class with the right class, the mean over classes",
    }
    targets = ("label",)

    def truth(self, data: UserData, split: str, streams: Iterable[str]) -> dict[str, Sequence[int]]:
        """Return the number of each sample's class."""
        numbers = {label: number for number, label in enumerate(data.classes)}
        return {"label": [numbers[sample.label] for sample in data.samples_of(split)]}

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return random inputs with random labels."""
        import torch

        label = torch.randint(_EXAMPLE_CLASSES, (samples, 1), generator=generator)
        return {**super().example(split, inputs, samples, generator), "label": label}

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return a linear on the vectors of all streams."""
        from bench.tasks.vector_heads import LinearClassifier

        assert samples is None or isinstance(samples, OwnSamples)
        return LinearClassifier(widths, len(samples.data.classes) if samples else _EXAMPLE_CLASSES, self.reads)

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of the logits (B, classes)."""
        from torch.nn import functional as F

        return F.cross_entropy(output.float(), batch["label"][:, 0])

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whether each sample is right (B,), 0 or 100, and its true class (B,)."""
        label = batch["label"][:, 0]
        return {"accuracy": (output.float().argmax(-1) == label).float() * 100, "label": label}

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the accuracy of each sample."""
        return {"accuracy": measured["accuracy"]}

    def summarize(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Return both accuracies; the macro one is over the classes that the split has."""
        accuracy, label = measured["accuracy"], measured["label"].long()
        _, number = label.unique(return_inverse=True)
        per_class = accuracy.new_zeros(int(number.max()) + 1).index_add_(0, number, accuracy) / number.bincount()
        return {"accuracy": accuracy.mean().item(), "macro_accuracy": per_class.mean().item()}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the sample's inputs with its true and its predicted class."""
        from bench.tasks import draw

        assert isinstance(samples, OwnSamples)
        sample = samples.samples[index]
        predicted = samples.data.classes[int(output["output"].argmax())]
        color = draw.TRUE if predicted == sample.label else draw.PREDICTED
        lines = [draw.text(sample.name, 480), draw.text(sample.label, 480, draw.TRUE), draw.text(predicted, 480, color)]
        return draw.in_column([lines[0], self.draw_inputs(samples, index), *lines[1:]], 4)
