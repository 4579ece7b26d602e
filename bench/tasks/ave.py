"""AVE: the event, if any, that is both visible and audible in each second of a video."""

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
    streams after their final norms, concatenated, followed by two linears. Loss: cross-entropy of each second.

    Attributes:
        hidden: Features between the head's two linears.
        criterion: The loss: cross-entropy; or binary cross-entropy of each class with its softmax probability, averaged
            over seconds and classes, as CoLA's authors use (`softmax_bce`).
        augmentation: Whether training batches are augmented.
    """

    hidden: int = 512
    criterion: Literal["cross_entropy", "softmax_bce"] = "cross_entropy"
    augmentation: bool = True

    benchmark = "AVE"
    modalities = {"vision": "images", "audio": "sounds"}  # noqa: RUF012
    layout = "ave"
    task_type = "video-classification"
    metric = "accuracy"
    metrics = {"accuracy": "share of seconds, background included, with the right label"}  # noqa: RUF012
    later = ("criterion", "augmentation")

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError("hidden must be at least 1")

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Return videos: `vision` (10, 3, size, size), `audio` (10, frames, bins) and `label` (10,), for 10 seconds."""
        from bench.datasets.ave import Release

        return _Events(Release(root, split, []), inputs)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return annotations, frames and sounds."""
        from bench.datasets.ave import Release

        return Release(root, split, []).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return videos of noise with random labels."""
        import torch

        from bench.datasets.ave import SECONDS

        media = {name: inputs[name].random(samples, SECONDS, generator=generator) for name in ("vision", "audio")}
        return {**media, "label": torch.randint(_CATEGORIES + 1, (samples, SECONDS), generator=generator)}

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return a head of two linears on both class tokens."""
        from bench.tasks.heads import ClassTokens

        assert samples is None or isinstance(samples, _Events)
        categories = _CATEGORIES if samples is None else len(samples.release.categories)
        return ClassTokens(widths, self.hidden, categories + 1)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """Return a message if no video has an event in any second."""
        assert isinstance(samples, _Events)
        background = len(samples.release.categories)
        if any((sample["label"] != background).any() for _, sample in read):
            return None
        return (
            f"every second of every video is background, such as those of {samples.names[0]}: no event has any length"
        )

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a batch with images mirrored and relit, and sounds of random loudness."""
        if not self.augmentation:
            return batch
        from bench.tasks.augment import gain, mirror, relight

        (vision,) = mirror([batch["vision"]], generator)
        return {**batch, "vision": relight(vision, generator), "audio": gain(batch["audio"], generator)}

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean of the criterion over all seconds."""
        from torch.nn import functional as F

        logits, label = output.flatten(0, 1).float(), batch["label"].flatten()
        return F.cross_entropy(logits, label) if self.criterion == "cross_entropy" else softmax_bce(logits, label)

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the accuracy (B,) over each video's ten seconds, in percent."""
        return {"accuracy": (output.argmax(-1) == batch["label"]).float().mean(1) * 100}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the frames of all seconds, with the true and the predicted category below each."""
        from bench.tasks import draw

        assert isinstance(samples, _Events)
        sample = samples[index]
        names = [*samples.release.categories, "background"]
        columns = []
        for frame, true, logits in zip(sample["vision"], sample["label"], output["output"], strict=True):
            predicted = int(logits.argmax())
            frame = draw.enlarged(frame.transpose(1, 2, 0), 110)
            cells = [draw.bar([draw.TRUE if true < len(names) - 1 else _NO_EVENT], frame.width, 6)]
            cells += [draw.text(names[true], frame.width, draw.TRUE, 11)]
            cells += [draw.text(names[predicted], frame.width, draw.PREDICTED if predicted != true else draw.TRUE, 11)]
            cells += [draw.bar([draw.PREDICTED if predicted < len(names) - 1 else _NO_EVENT], frame.width, 6)]
            columns.append(draw.in_column([frame, *cells], 2))
        return draw.in_column([draw.text(samples.names[index], 480), draw.in_row(columns, 4)], 4)


def softmax_bce(logits_NC: Tensor, label_N: Tensor) -> Tensor:
    """Return the binary cross-entropy of each class with its softmax probability, averaged over samples and classes.

    With total_N = logsumexp over all classes and rest_NC = logsumexp over all classes but c, the negative
    log-likelihoods are total - logit_c for the true class, and total - rest_c for the others. Summing up the rest
    avoids 1 - p, which is 0 if p rounds to 1.

    Args:
        logits_NC: Logits (N, C).
        label_N: True classes (N,).
    """
    import torch

    total_N1 = logits_NC.logsumexp(-1, keepdim=True)
    diagonal_CC = torch.eye(logits_NC.shape[-1], dtype=torch.bool, device=logits_NC.device)
    rest_NC = logits_NC[:, None].masked_fill(diagonal_CC, -torch.inf).logsumexp(-1)
    is_true_NC = torch.zeros_like(logits_NC, dtype=torch.bool).scatter(1, label_N[:, None], True)
    return (total_N1 - torch.where(is_true_NC, logits_NC, rest_NC)).mean()


_CATEGORIES = 28  # of the official release
_NO_EVENT = (225, 225, 225)  # gray, for seconds without an event


class _Events(Samples):
    def __init__(self, release: Release, inputs: Inputs) -> None:
        self.release = release
        self.inputs = inputs
        self.names = [event.video for event in release.events]
        self.left_out = release.left_out

    def __len__(self) -> int:
        return len(self.release.events)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        from bench.tasks.audiovisual import video_inputs

        event = self.release.events[index]
        return {**video_inputs(self.release, event, self.inputs), "label": self.release.labels(event)}
