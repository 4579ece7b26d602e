"""AVS: the pixels of the object that sounds."""

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
    """Audio-visual segmentation (AVSBench S4): the pixels of the object that sounds.

    Zhou et al., "Audio-Visual Segmentation", ECCV 2022. Head: a convolutional decoder over the vision tokens with
    attention between each place and the sound. Loss: binary cross-entropy on the annotated frames, at the resolution of
    the head's output (ours). Masks are compared at 224 x 224.

    Attributes:
        hidden: channels of the decoder.
        positive_weight: weight of foreground in the loss; 1 is the common protocol. Where little has been learnt yet, a
            higher one lets the probability of what may sound pass the threshold of a half (ours).
        augmentation: change training batches by chance.
    """

    hidden: int = 64
    positive_weight: float = 1.0
    augmentation: bool = True

    benchmark = "AVSBench S4"
    modalities = {"vision": "images", "audio": "sounds"}  # noqa: RUF012
    layout = "avs"
    later = ("augmentation",)
    metric = "miou"
    metrics = {  # noqa: RUF012
        "miou": "IoU of the predicted and the true mask; the mean over a video's frames, then over videos (M_J)",
        "f_score": "F with beta^2 = 0.3 at its best threshold, from the mean curve of a video's frames; then over "
        "videos (M_F). Published M_F is of batches of four videos at one threshold, and comes out lower",
    }

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError("hidden must be at least 1")
        if self.positive_weight <= 0:
            raise ValueError("positive_weight must be above 0")

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Videos: `vision` (T, 3, size, size), `audio` (T, frames, bins), `mask` (T, 224, 224); T annotated frames."""
        from bench.datasets.avsbench import Release

        problems: list[DataError] = []
        return _Videos(Release(root, split, problems), inputs, problems)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """The table, frames, masks and sounds."""
        from bench.datasets.avsbench import Release

        return Release(root, split, []).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Videos of noise, in whose frames any pixels sound."""
        import torch

        from bench.datasets.avsbench import MASK_SIZE

        frames = self._annotated(split)
        media = {name: inputs[name].random(samples, frames, generator=generator) for name in ("vision", "audio")}
        return {**media, "mask": torch.rand(samples, frames, MASK_SIZE, MASK_SIZE, generator=generator) < 0.5}

    def _annotated(self, split: str) -> int:
        """Annotated frames of a video."""
        from bench.datasets.avsbench import SECONDS

        return 1 if split == "train" else SECONDS

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """The decoder."""
        from bench.tasks.heads import MaskDecoder

        return MaskDecoder(widths["vision"], widths["audio"], self.hidden)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """That all masks of all videos are empty, or all full."""
        from bench.datasets.masks import all_alike

        found = all_alike((number, sample["mask"]) for number, sample in read)
        if found is None:
            return None
        assert isinstance(samples, _Videos)
        number, kind = found
        path = samples.release.mask_paths(samples.release.videos[number])[0]
        return (
            f"all masks are {kind}, as {path}: the object's pixels are those that are not black, the others are black"
        )

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Pictures mirrored and in another light, sounds louder or softer."""
        if not self.augmentation:
            return batch
        from bench.tasks.augment import gain, mirror, relight

        vision, mask = mirror([batch["vision"], batch["mask"]], generator)
        return {"vision": relight(vision, generator), "audio": gain(batch["audio"], generator), "mask": mask}

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Binary cross-entropy with the share of each output cell that the mask covers."""
        from torch.nn import functional as F

        rows, columns = output.shape[-2:]
        target = F.adaptive_avg_pool2d(batch["mask"].float(), (rows, columns))
        weight = target.new_tensor(self.positive_weight)
        return F.binary_cross_entropy_with_logits(output.float(), target, pos_weight=weight)

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Both metrics of each video, at the masks' resolution."""
        from torch.nn import functional as F

        from bench.tasks.segmentation import f_score, miou

        mask = batch["mask"]
        logits = F.interpolate(output.float(), mask.shape[-2:], mode="bilinear", align_corners=False)
        probability = logits.sigmoid()
        return {"miou": 100 * miou(probability, mask), "f_score": 100 * f_score(probability, mask)}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """The frames, and each with its true and with its predicted mask."""
        from bench.tasks import draw

        sample = samples[index]
        columns = []
        for frame, mask, logits in zip(sample["vision"], sample["mask"], output["output"], strict=True):
            picture = draw.enlarged(frame.transpose(1, 2, 0), 150)
            rows = [picture, draw.tinted(picture, mask > 0, draw.TRUE), draw.tinted(picture, logits > 0, draw.FOUND)]
            columns.append(draw.below(rows, 4))
        return draw.below([draw.text(samples.names[index], 480), draw.beside(columns, 4)], 4)


@dataclass
class AVSMulti(AVS):
    """Audio-visual segmentation (AVSBench MS3): the pixels of all objects that sound, in official data only."""

    benchmark = "AVSBench MS3"
    layout = "avs_ms3"

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """As those of S4; all five frames are annotated in every split."""
        from bench.datasets.avsbench import MultiRelease

        problems: list[DataError] = []
        return _Videos(MultiRelease(root, split, problems), inputs, problems)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """The table, frames, masks and sounds."""
        from bench.datasets.avsbench import MultiRelease

        return MultiRelease(root, split, []).files()

    def _annotated(self, split: str) -> int:
        """Annotated frames of a video."""
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
        from bench.tasks.audiovisual import see_and_hear

        video = self.release.videos[index]
        return {**see_and_hear(self.release, video, self.inputs), "mask": self.release.masks(video)}
