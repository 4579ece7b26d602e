"""Visual grounding: the box, the mask, or both, of the object that an English expression refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.tasks.base import Reads, Samples, Task
from bench.tasks.grounding_samples import Expressions, unpack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.refcoco import Mixed, Release
    from bench.errors import DataError
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head


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
    One training sample is one expression; in scoring every expression counts. With several data sets, their training
    splits are joined, less every picture that one of them tests on.

    Attributes:
        hidden: features of the decoder.
        layers: layers of the decoder.
        reads: what of the text the decoder attends to: all its "words"; or one vector only, its class token, "cls"
            (the mean where it has none), or the "mean" of its tokens. Then the streams must bring together what a text
            says, for which the class token begins further off.
        keep_aspect: put a picture into a square with its aspect kept, padded; false stretches it, as the authors do.
        jitter: colour jitter, in proportion to the common strength; 0 for none.
        shrink: least size in training, as a share, to which a picture is shrunk by chance.
        shuffle: give every picture the expression of another one, in all splits. A control: what is scored then needs
            no text.
    """

    hidden: int = 256
    layers: int = 2
    reads: Reads = "words"
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
        """Expressions, each with T = 1: `vision` (1, 3, size, size), `text` (1, tokens) and `box` (1, 4).

        In training, besides: `mask` (1, size, size), 0 to 255; `mirrored` (1, tokens), the text with left and right
        exchanged, and `mirrors` (1,), whether it may be. In the other splits: `size` (1, 2), the picture's height and
        width, and `truth` (1, bytes), the mask's bits row by row. Boxes and masks are read only if they are predicted.
        """
        problems: list[DataError] = []
        release = _open(root, self.datasets, split, problems, "box" in self.targets)
        if problems and not release.expressions:
            raise problems[0]
        return Expressions(
            release, split == "train", self.keep_aspect, self.shuffle, inputs, targets=self.targets, left_out=problems
        )

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Objects, expressions and pictures."""
        return _open(root, self.datasets, split, [], "box" in self.targets).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Pictures of noise, of 480 x 640 pixels, with texts of any words, boxes and pixels anywhere."""
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
        """The text comes with that of the mirrored picture."""
        return ("text", "mirrored", "mirrors") if stream == "text" else (stream,)

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """The cross-modal decoder."""
        from bench.tasks.grounding_head import GroundingDecoder

        return GroundingDecoder(widths["vision"], widths["text"], self.hidden, self.layers, self.targets, self.reads)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """That all masks are empty, or all full. (A box that is none is refused when the release is read.)"""
        from bench.datasets.masks import all_alike

        if "mask" not in self.targets:
            return None
        found = all_alike((number, _whole_mask(sample)) for number, sample in read)
        if found is None:
            return None
        assert isinstance(samples, Expressions)
        number, kind = found
        expression = samples.release.expressions[number]
        return (
            f"all masks are {kind}, as that of annotation {expression.ann_id} in instances.json of {expression.dataset}"
        )

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Pictures in other colours, shrunk, and mirrored where the text can be: left and right change places."""
        from bench.tasks.augment import jitter, mirror_with_text, shrink

        batch = mirror_with_text(batch, generator)
        batch = shrink(batch, self.shrink, generator)
        return {**batch, "vision": jitter(batch["vision"], self.jitter, generator)}

    def loss(self, output: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The sum of the losses of box and mask."""
        from bench.tasks.boxes import giou
        from bench.tasks.mask_losses import cover, dice, focal

        parts = []
        if "box" in self.targets:
            found, true = output["box"], batch["box"]
            parts.append(0.1 * ((found - true).abs().sum(-1) + 1 - giou(found, true)).mean())
        if "mask" in self.targets:
            logits = output["mask"].float()
            mask = cover(batch["mask"], (logits.shape[-2], logits.shape[-1])) / 255
            parts.append(focal(logits, mask) + dice(logits, mask))
        return sum(parts[1:], parts[0])

    def score(self, output: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`box_iou` of each expression, its box clamped to the picture; pixels in `both` and `either` of its masks."""
        import torch

        from bench.tasks.boxes import iou

        measured = {}
        if "box" in self.targets:
            found, true = output["box"][:, 0], batch["box"][:, 0]
            measured["box_iou"] = iou(found, true, self._edges(batch["size"][:, 0]).to(found))
        if "mask" in self.targets:
            counts = [
                self._overlap(*sample)
                for sample in zip(output["mask"][:, 0].float(), batch["truth"][:, 0], batch["size"][:, 0], strict=True)
            ]
            measured["both"], measured["either"] = torch.stack([torch.stack(pair) for pair in counts]).unbind(1)
        return measured

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Whether each expression's box is right, and how far its mask is, in percent."""
        found = {}
        if "box" in self.targets:
            found[BOX] = 100 * (measured["box_iou"] >= 0.5).double()
        if "mask" in self.targets:
            iou = measured["both"].double() / measured["either"].double().clamp(min=1)
            found[MASK] = 100 * iou
            found |= {f"precision@{t}": 100 * (iou >= t).double() for t in _PRECISIONS}
        return found

    def summarise(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """The metrics, in percent."""
        found = super().summarise(measured)
        if "mask" in self.targets:
            both, either = (measured[name].double().sum() for name in ("both", "either"))
            found["oiou"] = 100 * (both / either.clamp(min=1)).item()
        return {name: found[name] for name in self.metrics}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """The picture, with the expression, the true and the predicted box and mask."""
        import torch

        from bench.tasks import draw
        from bench.tasks.square import Square

        assert isinstance(samples, Expressions)
        expression = samples.release.expressions[index]
        square = Square(*expression.size, self.keep_aspect)
        plain = draw.enlarged(samples.release.image(expression), 260)
        true, found = plain, plain
        if "mask" in self.targets:
            true = draw.tinted(true, samples.release.mask(expression), draw.TRUE)
            logits = square.logits(torch.from_numpy(output["mask"][0]))
            found = draw.tinted(found, logits.numpy() >= 0, draw.FOUND)
        if "box" in self.targets:
            true = draw.framed(true, square.shares(square.box(samples.release.box(expression))), draw.TRUE)
            found = draw.framed(found, square.shares(output["box"][0]), draw.FOUND)
        row = draw.beside([plain, true, found])
        return draw.below([draw.text(f'"{samples.texts[index]}"', row.width), row], 4)

    def _edges(self, sizes: Tensor) -> Tensor:
        """The edges (B, 4) of pictures of `sizes` (B, 2) in their squares."""
        import torch

        from bench.tasks.square import Square

        return torch.tensor([Square(height, width, self.keep_aspect).edges for height, width in sizes.tolist()])

    def _overlap(self, logits: Tensor, truth: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels in both masks and in either, at the picture's own resolution, where the probability is 0.5 or more."""
        from bench.tasks.square import Square

        height, width = (int(value) for value in size)
        guess = Square(height, width, self.keep_aspect).logits(logits) >= 0
        mask = unpack(truth, height, width)
        return (guess & mask).sum(), (guess | mask).sum()


def _whole_mask(sample: Mapping[str, Tensor]) -> Tensor:
    """The mask of a sample of any split: in training with what pads its picture, in the others without."""
    if "truth" not in sample:
        return sample["mask"]
    height, width = sample["size"][0].tolist()
    return unpack(sample["truth"][0], height, width)


def _open(root: Path, datasets: tuple[str, ...], split: str, problems: list[DataError], boxes: bool) -> Release | Mixed:
    """The split of a release; of several, all their training or validation samples, or what `data set.split` names.

    `problems` gets what is wrong with refs, which are left out; `boxes` says whether boxes are needed.
    """
    from bench.datasets.refcoco import Mixed, Release, mixed

    if len(datasets) == 1:
        return Release(root, datasets[0], split, problems=problems, boxes=boxes)
    if split == "train":
        return mixed(root, datasets, problems, boxes)
    if split == "val":
        releases = {name: Release(root, name, "val", problems=problems, boxes=boxes) for name in datasets}
        return Mixed(releases, [e for release in releases.values() for e in release.expressions])
    dataset, _, name = split.partition(".")
    return Release(root, dataset, name, problems=problems, boxes=boxes)
