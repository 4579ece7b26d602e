"""Ref-AVS: the pixels of the object that an expression refers to, by what is seen and heard in a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.tasks.base import Samples, Task, TextReadout

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.refavs import Release
    from bench.errors import DataError
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head

SEEN_SPLIT, UNSEEN_SPLIT, NULL_SPLIT = "test_s", "test_u", "test_n"
THRESHOLD = 0.4
"""The probability above which a pixel counts as predicted in J: that of the authors' code."""
NULL_THRESHOLD = 0.5
"""The same in S."""


@dataclass
class RefAVS(Task):
    """Referring audio-visual segmentation (Ref-AVS): pixels of the object that an expression means, seen and heard.

    Wang et al., "Ref-AVS: Refer and Segment Objects in Audio-Visual Scenes", ECCV 2024. A sample is an expression about
    a video of ten seconds: a frame and the sound of each, and one text. Head: a cross-modal decoder of masks
    (`SceneDecoder`). Loss: focal (0.25, 2) + Dice, at the resolution of the head's output (ours). Masks are compared at
    256 x 256, in all ten frames. Expressions for what is not there (test_n) have scores of their own.

    Attributes:
        hidden: Features of the decoder.
        layers: Layers of the decoder.
        reads: The vectors of the text that the decoder attends to, as for grounding: all its "words"; or a single one,
            its class token ("cls", the mean if it has none) or the "mean" of its tokens.
        jitter: Strength of color jitter, relative to the common one; 0 for none.
        shrink: Smallest scale, as a fraction, to which frames are randomly shrunk in training.
        louder: Whether sounds get random loudness in training, each video one.
    """

    hidden: int = 256
    layers: int = 2
    reads: TextReadout = "words"
    jitter: float = 1.0
    shrink: float = 1.0
    louder: bool = True

    benchmark = "Ref-AVS"
    modalities: ClassVar[Mapping[str, str]] = {"vision": "images", "audio": "sounds", "text": "text"}
    layout = "refavs"
    task_type = "image-segmentation"
    test_splits = (SEEN_SPLIT, UNSEEN_SPLIT, NULL_SPLIT)
    metric = "miou"
    metrics: ClassVar[Mapping[str, str]] = {
        "miou": "J: IoU of the predicted (probability over 0.4) and the true mask; the mean over a video's frames, "
        "then over expressions; a frame without the object counts by the share of its pixels that are left out",
        "f_score": "F with beta^2 = 0.3 at its best threshold, from the mean curve of the frames that have the object; "
        "then over expressions",
        "miou_mix": "the mean of J on test_s and J on test_u, each split counting the same, as published",
        "f_score_mix": "the same of F",
        "null_s": "S of expressions for what is not there: the root of the share of a video's pixels that are "
        "predicted (probability over 0.5); lower is better",
    }

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
        """Return expressions: `vision` (10, 3, size, size), `audio` (10, ...) and `text` (1, tokens).

        Training samples also have `mask` (10, size, size), 0 to 255; `mirrored` (1, tokens), the text with left and
        right exchanged; and `mirrors` (1,), whether it can be mirrored. Samples of other splits have `truth` (10,
        bytes), the bits of the masks of 256 x 256 pixels; `present` (), whether the object is there; and `unseen` (),
        whether its category does not occur in training.
        """
        from bench.datasets.refavs import Release

        problems: list[DataError] = []
        release = Release(root, split, problems)
        if problems and not release.expressions:
            raise problems[0]
        return _Expressions(release, inputs, problems)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return the table, frames, masks and sounds."""
        from bench.datasets.refavs import Release

        return Release(root, split, []).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return videos of noise with random texts and masks."""
        import torch

        from bench.datasets.refavs import MASK_SIZE, SECONDS

        def octets(*shape: int) -> Tensor:
            return torch.randint(256, (samples, SECONDS, *shape), dtype=torch.uint8, generator=generator)

        batch = {name: inputs[name].random(samples, SECONDS, generator=generator) for name in ("vision", "audio")}
        batch["text"] = inputs["text"].random(samples, 1, generator=generator)
        if split == "train":
            mirrors = torch.ones(samples, 1, dtype=torch.bool)
            return batch | {
                "mirrored": batch["text"].clone(),
                "mirrors": mirrors,
                "mask": octets(*batch["vision"].shape[-2:]),
            }
        flags = {"present": split != NULL_SPLIT, "unseen": split == UNSEEN_SPLIT}
        return batch | {
            "truth": octets(MASK_SIZE**2 // 8),
            **{name: torch.full((samples,), value) for name, value in flags.items()},
        }

    def columns(self, stream: str) -> tuple[str, ...]:
        """Return the columns that depend on a stream: the text comes with that of the mirrored video."""
        return ("text", "mirrored", "mirrors") if stream == "text" else (stream,)

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return the decoder of masks."""
        from bench.tasks.scene_decoder import SceneDecoder

        return SceneDecoder(widths, self.hidden, self.layers, self.reads)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """Return a message if all masks of objects that are there are empty, or all are full."""
        from bench.datasets.masks import all_alike

        assert isinstance(samples, _Expressions)
        expressions = samples.release.expressions
        masks = (
            (number, sample["mask"] if "mask" in sample else unpacked(sample["truth"]))
            for number, sample in read
            if not expressions[number].absent
        )
        alike = all_alike(masks)
        if alike is None:
            return None
        number, kind = alike
        path = samples.release.mask_paths(expressions[number])[0]
        return f"all masks are {kind}, such as {path}: the object's pixels must not be black, all others must be"

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a batch with frames of random color, shrunk, and mirrored if their texts can be; sounds get a gain."""
        from bench.tasks.augment import gain, jitter, mirror_with_text, shrink

        batch = mirror_with_text(batch, generator)
        batch = shrink(batch, self.shrink, generator)
        changed = {"vision": jitter(batch["vision"], self.jitter, generator)}
        if self.louder:  # what is louder than something else in the video stays so
            whole = batch["audio"].flatten(1, 2)[:, None]
            changed["audio"] = gain(whole, generator)[:, 0].view(batch["audio"].shape)
        return {**batch, **changed}

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return focal + Dice loss with the fraction of each output cell that the mask covers."""
        from bench.tasks.mask_losses import cover, dice, focal

        logits = output.float()
        mask = cover(batch["mask"], (logits.shape[-2], logits.shape[-1])) / 255
        return focal(logits, mask) + dice(logits, mask)

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return J, F and S (B,) of each expression in percent, whether its object is `present`, and if it is `unseen`.

        Which of the scores count depends on the latter two; see `per_sample`.
        """
        from torch.nn import functional as F

        from bench.tasks.segmentation import f_score, miou, pixels

        mask = unpacked(batch["truth"])
        logits = F.interpolate(output.float(), mask.shape[-2:], mode="bilinear", align_corners=False)
        probability = logits.sigmoid()
        predicted = pixels(probability > NULL_THRESHOLD).sum(-1).double() / mask[0].numel()
        return {
            "miou": 100 * miou(probability, mask, THRESHOLD),
            "f_score": 100 * f_score(probability, mask),
            "null_s": 100 * predicted.sqrt(),
            "present": batch["present"].double(),
            "unseen": batch["unseen"].double(),
        }

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return J and F of each expression whose object is there, or else S of those whose object is not."""
        present = measured["present"] > 0
        if present.any():
            return {name: measured[name][present] for name in ("miou", "f_score")}
        return {"null_s": measured["null_s"]}

    def summarize(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics over all expressions that they are for, without those that are for none of these."""
        present, unseen = measured["present"] > 0, measured["unseen"] > 0
        scores = {name: measured[name][present].mean().item() for name in ("miou", "f_score") if present.any()}
        if unseen.any() and (present & ~unseen).any():
            for name in ("miou", "f_score"):
                means = [measured[name][present & (unseen == part)].mean() for part in (False, True)]
                scores[f"{name}_mix"] = (sum(means) / 2).item()  # type: ignore[union-attr]
        if not present.all():
            scores["null_s"] = measured["null_s"][~present].mean().item()
        return scores

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the expression, and the frames alone, with their true masks and with their predicted masks."""
        import numpy as np

        from bench.tasks import draw

        assert isinstance(samples, _Expressions)
        expression = samples.release.expressions[index]
        frames, masks = samples[index]["vision"], samples.release.masks(expression)
        limit = np.log(THRESHOLD / (1 - THRESHOLD))
        columns = []
        for frame, mask, logits in zip(frames, masks, output["output"], strict=True):
            picture = draw.enlarged(frame.transpose(1, 2, 0), 96)
            rows = [
                picture,
                draw.tinted(picture, mask, draw.TRUE),
                draw.tinted(picture, logits > limit, draw.PREDICTED),
            ]
            columns.append(draw.in_column(rows, 4))
        row = draw.in_row(columns, 4)
        return draw.in_column([draw.text(f'{expression.uid}: "{expression.text}"', row.width), row], 4)


def unpacked(truth: Tensor) -> Tensor:
    """Return masks (..., 256, 256), bool, from their bits as packed by numpy, (..., bytes)."""
    from bench.datasets.refavs import MASK_SIZE
    from bench.tasks.grounding_samples import unpack

    count = truth.shape[:-1].numel()
    return unpack(truth.flatten(), count * MASK_SIZE, MASK_SIZE).view(*truth.shape[:-1], MASK_SIZE, MASK_SIZE)


class _Expressions(Samples):
    def __init__(self, release: Release, inputs: Inputs, left_out: Sequence[DataError]) -> None:
        import numpy as np

        from bench.streams.inputs import TextInput
        from bench.tasks.grounding_samples import mirror_words

        text = inputs["text"]
        assert isinstance(text, TextInput)
        self.release, self.inputs, self.left_out = release, inputs, left_out
        self.names = [expression.uid for expression in release.expressions]
        self.groups = [expression.video for expression in release.expressions]
        texts = [expression.text for expression in release.expressions]
        mirrors = [mirror_words(text) for text in texts]
        self.can_mirror = np.array([[can_mirror] for _, can_mirror in mirrors])
        tokens = text.encode_short([*texts, *(mirrored for mirrored, _ in mirrors)])
        self.tokens, self.mirrored = tokens.reshape(2, len(texts), -1)

    def __len__(self) -> int:
        return len(self.release.expressions)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        import numpy as np
        from PIL import Image

        from bench.tasks.audiovisual import video_inputs

        expression, split = self.release.expressions[index], self.release.split
        sample = {**video_inputs(self.release, expression, self.inputs), "text": self.tokens[index, None]}
        masks = self.release.masks(expression)
        if split != "train":
            truth = np.packbits(masks.reshape(len(masks), -1), axis=1)
            present, unseen = np.array(not expression.absent), np.array(split == UNSEEN_SPLIT)
            return sample | {"truth": truth, "present": present, "unseen": unseen}
        size = sample["vision"].shape[-2:]
        covers = [Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX) for mask in masks]
        return sample | {
            "mask": np.stack([np.array(cover) for cover in covers]),
            "mirrored": self.mirrored[index, None],
            "mirrors": self.can_mirror[index],
        }
