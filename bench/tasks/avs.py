"""AVS: the pixels of the object that makes the sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tasks.base import Samples, Task

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.avsbench import Release
    from bench.errors import DataError
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head


@dataclass
class AVS(Task):
    """Audio-visual segmentation (AVSBench S4): pixels of the object that makes the sound.

    Zhou et al., "Audio-Visual Segmentation", ECCV 2022. Head: a convolutional decoder over the vision tokens with
    attention between each place and the sound. Loss: binary cross-entropy on the annotated frames, at the resolution of
    the head's output (ours). Masks are compared at 224 x 224.

    Attributes:
        hidden: Channels of the decoder.
        positive_weight: Weight of foreground in the loss; 1 is the common protocol. Early in training, a higher weight
            lets the probability of sounding objects pass the threshold of 0.5 (ours).
        augmentation: Whether training batches are augmented.
    """

    hidden: int = 64
    positive_weight: float = 1.0
    augmentation: bool = True

    benchmark = "AVSBench S4"
    modalities = {"vision": "images", "audio": "sounds"}  # noqa: RUF012
    layout = "avs"
    task_type = "image-segmentation"
    later = ("augmentation",)
    metric = "miou"
    metrics = {  # noqa: RUF012
        "miou": "IoU of the predicted and the true mask; the mean over a video's frames, then over videos (M_J)",
        "f_score": "F with beta^2 = 0.3 at its best threshold, from the mean curve of a video's frames; then over "
        "videos (M_F). Published M_F is of batches of four videos at one threshold, and lower",
    }

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError("hidden must be at least 1")
        if self.positive_weight <= 0:
            raise ValueError("positive_weight must be above 0")

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Return videos: `vision` (T, 3, size, size), `audio` (T, frames, bins) and `mask` (T, 224, 224).

        T is the number of annotated frames.
        """
        from bench.datasets.avsbench import Release

        problems: list[DataError] = []
        return _Videos(Release(root, split, problems), inputs, problems)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return the table, frames, masks and sounds."""
        from bench.datasets.avsbench import Release

        return Release(root, split, []).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return videos of noise with random masks."""
        import torch

        from bench.datasets.avsbench import MASK_SIZE

        frames = self._annotated(split)
        media = {name: inputs[name].random(samples, frames, generator=generator) for name in ("vision", "audio")}
        return {**media, "mask": torch.rand(samples, frames, MASK_SIZE, MASK_SIZE, generator=generator) < 0.5}

    def _annotated(self, split: str) -> int:
        """Return the number of annotated frames of a video."""
        from bench.datasets.avsbench import SECONDS

        return 1 if split == "train" else SECONDS

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return the mask decoder."""
        from bench.tasks.heads import MaskDecoder

        return MaskDecoder(widths["vision"], widths["audio"], self.hidden)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """Return a message if all masks of all videos are empty, or all are full."""
        from bench.datasets.masks import all_alike

        alike = all_alike((number, sample["mask"]) for number, sample in read)
        if alike is None:
            return None
        assert isinstance(samples, _Videos)
        number, kind = alike
        path = samples.release.mask_paths(samples.release.videos[number])[0]
        return f"all masks are {kind}, such as {path}: the object's pixels must not be black, all others must be"

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a batch with images mirrored and relit, and sounds of random loudness."""
        if not self.augmentation:
            return batch
        from bench.tasks.augment import gain, mirror, relight

        vision, mask = mirror([batch["vision"], batch["mask"]], generator)
        return {"vision": relight(vision, generator), "audio": gain(batch["audio"], generator), "mask": mask}

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the binary cross-entropy with the fraction of each output cell that the mask covers."""
        from torch.nn import functional as F

        rows, columns = output.shape[-2:]
        target = F.adaptive_avg_pool2d(batch["mask"].float(), (rows, columns))
        weight = target.new_tensor(self.positive_weight)
        return F.binary_cross_entropy_with_logits(output.float(), target, pos_weight=weight)

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return both metrics (B,) of each video, at the masks' resolution, in percent."""
        from torch.nn import functional as F

        from bench.tasks.segmentation import f_score, miou

        mask = batch["mask"]
        logits = F.interpolate(output.float(), mask.shape[-2:], mode="bilinear", align_corners=False)
        probability = logits.sigmoid()
        return {"miou": 100 * miou(probability, mask), "f_score": 100 * f_score(probability, mask)}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the frames, alone, with their true masks and with their predicted masks."""
        from bench.tasks import draw

        sample = samples[index]
        columns = []
        for frame, mask, logits in zip(sample["vision"], sample["mask"], output["output"], strict=True):
            picture = draw.enlarged(frame.transpose(1, 2, 0), 150)
            rows = [
                picture,
                draw.tinted(picture, mask > 0, draw.TRUE),
                draw.tinted(picture, logits > 0, draw.PREDICTED),
            ]
            columns.append(draw.in_column(rows, 4))
        return draw.in_column([draw.text(samples.names[index], 480), draw.in_row(columns, 4)], 4)


@dataclass
class AVSMulti(AVS):
    """Audio-visual segmentation (AVSBench MS3): pixels of all sounding objects; official data only."""

    benchmark = "AVSBench MS3"
    layout = "avs_ms3"

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Return videos like those of S4; all five frames are annotated in every split."""
        from bench.datasets.avsbench import MultiRelease

        problems: list[DataError] = []
        return _Videos(MultiRelease(root, split, problems), inputs, problems)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return the table, frames, masks and sounds."""
        from bench.datasets.avsbench import MultiRelease

        return MultiRelease(root, split, []).files()

    def _annotated(self, split: str) -> int:
        """Return the number of annotated frames of a video."""
        from bench.datasets.avsbench import SECONDS

        return SECONDS


class _Videos(Samples):
    def __init__(self, release: Release, inputs: Inputs, left_out: Sequence[DataError]) -> None:
        self.release = release
        self.inputs = inputs
        self.left_out = left_out
        self.names = [video.name for video in release.videos]

    def __len__(self) -> int:
        return len(self.release.videos)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        from bench.tasks.audiovisual import video_inputs

        video = self.release.videos[index]
        return {**video_inputs(self.release, video, self.inputs), "mask": self.release.masks(video)}
