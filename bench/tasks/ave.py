"""AVE: which event, if any, is both seen and heard in each second of a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.tasks.base import Samples, Task

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.ave import Release
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head


@dataclass
class AVE(Task):
    """Audio-visual event localization: the event in each second of a video, or background.

    Tian et al., "Audio-Visual Event Localization in Unconstrained Videos", ECCV 2018. Head: the class tokens of both
    streams after their final norms, concatenated, linear, linear. Loss: cross-entropy of each second.

    Attributes:
        hidden: features between the head's two linears.
        criterion: the loss: cross-entropy; or binary cross-entropy of each class with its probability by the softmax,
            the mean over seconds and classes, as CoLA's authors have it (`softmax_bce`).
        augmentation: change training batches by chance.
    """

    hidden: int = 512
    criterion: Literal["cross_entropy", "softmax_bce"] = "cross_entropy"
    augmentation: bool = True

    benchmark = "AVE"
    modalities = {"vision": "images", "audio": "sounds"}  # noqa: RUF012
    layout = "ave"
    metric = "accuracy"
    metrics = {"accuracy": "share of seconds, background among them, with the right label"}  # noqa: RUF012
    later = ("criterion", "augmentation")

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError("hidden must be at least 1")

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Videos: `vision` (10, 3, size, size), `audio` (10, frames, bins) and `label` (10,), one a second."""
        from bench.datasets.ave import Release

        return _Events(Release(root, split, []), inputs)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Annotations, frames and sounds."""
        from bench.datasets.ave import Release

        return Release(root, split, []).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Videos of noise, with any labels."""
        import torch

        from bench.datasets.ave import SECONDS

        media = {name: inputs[name].random(samples, SECONDS, generator=generator) for name in ("vision", "audio")}
        return {**media, "label": torch.randint(_CATEGORIES + 1, (samples, SECONDS), generator=generator)}

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Two linears on both class tokens."""
        from bench.tasks.heads import ClassTokens

        assert samples is None or isinstance(samples, _Events)
        categories = _CATEGORIES if samples is None else len(samples.release.categories)
        return ClassTokens(widths, self.hidden, categories + 1)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """That no video has an event in any second."""
        assert isinstance(samples, _Events)
        background = len(samples.release.categories)
        if any((sample["label"] != background).any() for _, sample in read):
            return None
        return f"every second of every video is background, as those of {samples.names[0]}: no event has any length"

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Pictures mirrored and in another light, sounds louder or softer."""
        if not self.augmentation:
            return batch
        from bench.tasks.augment import gain, mirror, relight

        (vision,) = mirror([batch["vision"]], generator)
        return {**batch, "vision": relight(vision, generator), "audio": gain(batch["audio"], generator)}

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The criterion, the mean over all seconds."""
        from torch.nn import functional as F

        logits, label = output.flatten(0, 1).float(), batch["label"].flatten()
        return F.cross_entropy(logits, label) if self.criterion == "cross_entropy" else softmax_bce(logits, label)

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Accuracy over each video's seconds. All videos have ten, so its mean is that over all seconds."""
        return {"accuracy": (output.argmax(-1) == batch["label"]).float().mean(1) * 100}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """The frames of the seconds, and below each its true and its predicted category."""
        from bench.tasks import draw

        assert isinstance(samples, _Events)
        sample = samples[index]
        names = [*samples.release.categories, "background"]
        columns = []
        for frame, true, logits in zip(sample["vision"], sample["label"], output["output"], strict=True):
            found = int(logits.argmax())
            frame = draw.enlarged(frame.transpose(1, 2, 0), 110)
            cells = [draw.bar([draw.TRUE if true < len(names) - 1 else _NOTHING], frame.width, 6)]
            cells += [draw.text(names[true], frame.width, draw.TRUE, 11)]
            cells += [draw.text(names[found], frame.width, draw.FOUND if found != true else draw.TRUE, 11)]
            cells += [draw.bar([draw.FOUND if found < len(names) - 1 else _NOTHING], frame.width, 6)]
            columns.append(draw.below([frame, *cells], 2))
        return draw.below([draw.text(samples.names[index], 480), draw.beside(columns, 4)], 4)


def softmax_bce(logits_NC: Tensor, label_N: Tensor) -> Tensor:
    """Binary cross-entropy of each class with its probability by the softmax: the mean over samples and classes.

    The probability that it is another class is summed up from the others: 1 - p would be 0 where p rounds to 1.
    """
    import torch

    every_N1 = logits_NC.logsumexp(-1, keepdim=True)
    itself_CC = torch.eye(logits_NC.shape[-1], dtype=torch.bool, device=logits_NC.device)
    others_NC = logits_NC[:, None].masked_fill(itself_CC, -torch.inf).logsumexp(-1)
    is_it_NC = torch.zeros_like(logits_NC, dtype=torch.bool).scatter(1, label_N[:, None], True)
    return (every_N1 - torch.where(is_it_NC, logits_NC, others_NC)).mean()


_CATEGORIES = 28  # of the official release
_NOTHING = (225, 225, 225)  # where there is no event


class _Events(Samples):
    def __init__(self, release: Release, inputs: Inputs) -> None:
        self.release = release
        self.inputs = inputs
        self.names = [event.video for event in release.events]
        self.left_out = release.left_out

    def __len__(self) -> int:
        return len(self.release.events)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        from bench.tasks.audiovisual import see_and_hear

        event = self.release.events[index]
        return {**see_and_hear(self.release, event, self.inputs), "label": self.release.labels(event)}
