"""Visual grounding: the box, the mask, or both, of the object that an English expression refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.tasks.base import Samples, Task, TextReadout
from bench.tasks.grounding_samples import Expressions, unpack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.refcoco import Mixed, Release
    from bench.errors import DataError
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head


GOOGLE_TEST = "official_val"
"""The test split of RefCOCOg's google split, which has only a training and a validation split."""

BOX = "accuracy@0.5"
MASK = "miou"
_PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
BOX_METRICS = {
    BOX: "share of expressions whose predicted box, clamped to the picture, has an IoU of 0.5 or more with the true one"
}
MASK_METRICS = {
    MASK: "IoU of the predicted and the true mask, the mean over expressions, at the picture's own resolution",
    "oiou": "all intersections of predicted and true masks over all their unions",
    **{f"precision@{t}": f"share of expressions whose mask has an IoU of {t} or more" for t in _PRECISIONS},
}


@dataclass
class Grounding(Task):
    """Referring expression comprehension (box), segmentation (mask), or both with one model.

    Yu et al., "Modeling Context in Referring Expressions", ECCV 2016; Mao et al., "Generation and Comprehension of
    Unambiguous Object Descriptions", CVPR 2016. Head: a small cross-modal decoder (`GroundingDecoder`). Loss: 0.1 (L1 +
    GIoU) for the box, focal (0.25, 2) + Dice for the mask, at the resolution of the head's output; their sum for both.
    One training sample is one expression; in scoring, every expression counts. With several data sets, their training
    splits are joined, without any image that one of them tests on.

    Attributes:
        hidden: Features of the decoder.
        layers: Layers of the decoder.
        reads: The vectors of the text that the decoder attends to: all its "words"; or a single one, its class token
            ("cls", the mean if it has none) or the "mean" of its tokens. With a single vector, the streams must combine
            the text's content, which is harder from the class token.
        keep_aspect: Whether an image is padded to a square; if false, it is stretched, as the authors do.
        jitter: Strength of color jitter, relative to the common one; 0 for none.
        shrink: Smallest scale, as a fraction, to which an image is randomly shrunk in training.
        shuffle: Whether every image gets the expression of another one, in all splits. A control: only scores that need
            no text remain.
    """

    hidden: int = 256
    layers: int = 2
    reads: TextReadout = "words"
    keep_aspect: bool = True
    jitter: float = 1.0
    shrink: float = 0.8
    shuffle: bool = False

    scoring_rules: ClassVar[tuple[str, ...]] = (
        "IoU of a box as it is predicted",
        "IoU of a box that is clamped to its picture",
    )
    modalities: ClassVar[Mapping[str, str]] = {"vision": "images", "text": "text"}
    datasets: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[str, ...]] = ("box", "mask")
    family: ClassVar[str] = "grounding"

    def __post_init__(self) -> None:
        if self.hidden < 4 or self.hidden % 4:
            raise ValueError("hidden must be a multiple of 4")
        if self.layers < 1:
            raise ValueError("layers must be at least 1")
        if self.jitter < 0:
            raise ValueError("jitter must not be below 0")
        if not 0 < self.shrink <= 1:
            raise ValueError("shrink must be above 0 and at most 1")

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Return expressions, each with T = 1: `vision` (1, 3, size, size), `text` (1, tokens) and `box` (1, 4).

        Training samples also have `mask` (1, size, size), 0 to 255; `mirrored` (1, tokens), the text with left and
        right exchanged; and `mirrors` (1,), whether it can be mirrored. Samples of other splits have `size` (1, 2), the
        image's height and width, and `truth` (1, bytes), the mask's bits row by row. Boxes and masks are only read if
        they are predicted.
        """
        problems: list[DataError] = []
        release = _open(root, self.datasets, split, problems, "box" in self.targets)
        if problems and not release.expressions:
            raise problems[0]
        return Expressions(
            release, split == "train", self.keep_aspect, self.shuffle, inputs, targets=self.targets, left_out=problems
        )

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return objects, expressions and images."""
        return _open(root, self.datasets, split, [], "box" in self.targets).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return images of noise, of 480 x 640 pixels, with random texts, boxes and masks."""
        import torch

        def shares(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(samples, 1, 2, generator=generator)

        def octets(*shape: int) -> Tensor:
            return torch.randint(256, (samples, 1, *shape), dtype=torch.uint8, generator=generator)

        image, height, width = inputs["vision"].random(samples, 1, generator=generator), 480, 640
        text = inputs["text"].random(samples, 1, generator=generator)
        batch = {"vision": image, "text": text}
        if "box" in self.targets:
            batch["box"] = torch.cat([shares(0.3, 0.7), shares(0.1, 0.5)], dim=-1)
        if split == "train":
            batch |= {"mirrored": text.clone(), "mirrors": torch.ones(samples, 1, dtype=torch.bool)}
        else:
            batch["size"] = torch.tensor([height, width]).repeat(samples, 1, 1)
        if "mask" in self.targets:
            batch |= {"mask": octets(*image.shape[-2:])} if split == "train" else {"truth": octets(height * width // 8)}
        return batch

    def columns(self, stream: str) -> tuple[str, ...]:
        """Return the columns that depend on a stream: the text comes with that of the mirrored image."""
        return ("text", "mirrored", "mirrors") if stream == "text" else (stream,)

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return the cross-modal decoder."""
        from bench.tasks.grounding_head import GroundingDecoder

        return GroundingDecoder(widths["vision"], widths["text"], self.hidden, self.layers, self.targets, self.reads)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """Return a message if all masks are empty, or all are full. Reading the release refuses empty boxes."""
        from bench.datasets.masks import all_alike

        if "mask" not in self.targets:
            return None
        alike = all_alike((number, _whole_mask(sample)) for number, sample in read)
        if alike is None:
            return None
        assert isinstance(samples, Expressions)
        number, kind = alike
        expression = samples.release.expressions[number]
        return f"all masks are {kind}, as is annotation {expression.ann_id} in instances.json of {expression.dataset}"

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a batch with images of random color, shrunk, and mirrored if their texts can be."""
        from bench.tasks.augment import jitter, mirror_with_text, shrink

        batch = mirror_with_text(batch, generator)
        batch = shrink(batch, self.shrink, generator)
        return {**batch, "vision": jitter(batch["vision"], self.jitter, generator)}

    def loss(self, output: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of the losses of box and mask."""
        from bench.tasks.boxes import giou
        from bench.tasks.mask_losses import cover, dice, focal

        parts = []
        if "box" in self.targets:
            predicted, true = output["box"], batch["box"]
            parts.append(0.1 * ((predicted - true).abs().sum(-1) + 1 - giou(predicted, true)).mean())
        if "mask" in self.targets:
            logits = output["mask"].float()
            mask = cover(batch["mask"], (logits.shape[-2], logits.shape[-1])) / 255
            parts.append(focal(logits, mask) + dice(logits, mask))
        return sum(parts[1:], parts[0])

    def score(self, output: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the measures of each expression, (B,) each.

        These are `box_iou`, of the predicted box clamped to the image, and the pixels of the `intersection` and the
        `union` of its masks.
        """
        import torch

        from bench.tasks.boxes import iou

        measured = {}
        if "box" in self.targets:
            predicted, true = output["box"][:, 0], batch["box"][:, 0]
            measured["box_iou"] = iou(predicted, true, self._edges(batch["size"][:, 0]).to(predicted))
        if "mask" in self.targets:
            counts = [
                self._overlap(*sample)
                for sample in zip(output["mask"][:, 0].float(), batch["truth"][:, 0], batch["size"][:, 0], strict=True)
            ]
            measured["intersection"], measured["union"] = torch.stack([torch.stack(pair) for pair in counts]).unbind(1)
        return measured

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the accuracy of the box and the IoU and precisions of the mask of each expression, in percent."""
        scores = {}
        if "box" in self.targets:
            scores[BOX] = 100 * (measured["box_iou"] >= 0.5).double()
        if "mask" in self.targets:
            iou = measured["intersection"].double() / measured["union"].double().clamp(min=1)
            scores[MASK] = 100 * iou
            scores |= {f"precision@{t}": 100 * (iou >= t).double() for t in _PRECISIONS}
        return scores

    def summarize(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics over all expressions, in percent."""
        scores = super().summarize(measured)
        if "mask" in self.targets:
            intersection, union = (measured[name].double().sum() for name in ("intersection", "union"))
            scores["oiou"] = 100 * (intersection / union.clamp(min=1)).item()
        return {name: scores[name] for name in self.metrics}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the image with the expression, and with the true and the predicted box and mask."""
        import torch

        from bench.tasks import draw
        from bench.tasks.square import Square

        assert isinstance(samples, Expressions)
        expression = samples.release.expressions[index]
        square = Square(*expression.size, self.keep_aspect)
        plain = draw.enlarged(samples.release.image(expression), 260)
        true, predicted = plain, plain
        if "mask" in self.targets:
            true = draw.tinted(true, samples.release.mask(expression), draw.TRUE)
            logits = square.logits(torch.from_numpy(output["mask"][0]))
            predicted = draw.tinted(predicted, logits.numpy() >= 0, draw.PREDICTED)
        if "box" in self.targets:
            true = draw.framed(true, square.image_fractions(square.box(samples.release.box(expression))), draw.TRUE)
            predicted = draw.framed(predicted, square.image_fractions(output["box"][0]), draw.PREDICTED)
        row = draw.in_row([plain, true, predicted])
        return draw.in_column([draw.text(f'"{samples.texts[index]}"', row.width), row], 4)

    def _edges(self, sizes: Tensor) -> Tensor:
        """Return the edges (B, 4) of images of `sizes` (B, 2) in their squares."""
        import torch

        from bench.tasks.square import Square

        return torch.tensor([Square(height, width, self.keep_aspect).edges for height, width in sizes.tolist()])

    def _overlap(self, logits: Tensor, truth: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels of the intersection and the union of a mask and logits >= 0, at the image's resolution."""
        from bench.tasks.square import Square

        height, width = (int(value) for value in size)
        guess = Square(height, width, self.keep_aspect).logits(logits) >= 0
        mask = unpack(truth, height, width)
        return (guess & mask).sum(), (guess | mask).sum()


def _whole_mask(sample: Mapping[str, Tensor]) -> Tensor:
    """Return the mask of a sample of any split: with the image's padding in training, without it in others."""
    if "truth" not in sample:
        return sample["mask"]
    height, width = sample["size"][0].tolist()
    return unpack(sample["truth"][0], height, width)


def _open(root: Path, datasets: tuple[str, ...], split: str, problems: list[DataError], boxes: bool) -> Release | Mixed:
    """Open the split of a release, or of several.

    With several data sets, "train" and "val" are those of all of them, and others have names like `data set.split`.

    Args:
        root: Folder of the releases.
        datasets: Their names.
        split: The split.
        problems: Receives the errors of refs that are left out.
        boxes: Whether boxes are needed.
    """
    from bench.datasets.refcoco import Mixed, Release, mixed

    if datasets == ("refcocog_google",):
        return _google(root, split, problems, boxes)
    if len(datasets) == 1:
        return Release(root, datasets[0], split, problems=problems, boxes=boxes)
    if split == "train":
        return mixed(root, datasets, problems, boxes)
    if split == "val":
        releases = {name: Release(root, name, "val", problems=problems, boxes=boxes) for name in datasets}
        return Mixed(releases, [e for release in releases.values() for e in release.expressions])
    dataset, _, name = split.partition(".")
    return Release(root, dataset, name, problems=problems, boxes=boxes)


def _google(root: Path, split: str, problems: list[DataError], boxes: bool) -> Release:
    """Open RefCOCOg as split by google: "val" is a tenth of its training images, and its validation split is the test.

    Arguments are those of `_open`.
    """
    from bench.datasets.refcoco import Release

    official = "val" if split == GOOGLE_TEST else "train"
    release = Release(root, "refcocog_google", official, problems=problems, boxes=boxes)
    if official == "train":
        release.expressions = [e for e in release.expressions if _is_held_out(e.image_id) == (split == "val")]
    return release


def _is_held_out(image_id: int) -> bool:
    """Return whether an image is in a tenth that does not depend on the order or the number of images."""
    return int.from_bytes(sha256(str(image_id).encode()).digest()[:8], "big") % 10 == 0
