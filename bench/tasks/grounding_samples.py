"""The expressions of a REFER release as samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from bench.tasks.base import Samples

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from bench.datasets.refcoco import Expression, Mixed, Release
    from bench.errors import DataError
    from bench.tasks.base import Inputs


_MAX_IMAGE_BYTES = 64 * 1024**2  # bytes of decoded images in memory


class Expressions(Samples):
    """The expressions of a split as arrays; see `Grounding.samples`."""

    def __init__(
        self,
        release: Release | Mixed,
        training: bool,
        keep_aspect: bool,
        shuffle: bool,
        inputs: Inputs,
        *,
        targets: Sequence[str] = ("box", "mask"),
        left_out: Sequence[DataError] = (),
    ) -> None:
        import numpy as np

        from bench.streams.inputs import ImageInput, TextInput

        image, text_input = inputs["vision"], inputs["text"]
        assert isinstance(image, ImageInput) and isinstance(text_input, TextInput)
        self.release, self.training, self.keep_aspect = release, training, keep_aspect
        self.image, self.text = image, text_input
        self.targets, self.left_out = targets, left_out
        self.names = [f"{e.dataset} {e.sent_id}" for e in release.expressions]
        self.groups = [e.file_name for e in release.expressions]
        self.texts = [e.text for e in release.expressions]
        if shuffle:
            self.texts = [self.texts[i] for i in np.random.default_rng(0).permutation(len(self.texts))]
        mirrors = [mirror_words(text) for text in self.texts]
        self.can_mirror = np.array([[can_mirror] for _, can_mirror in mirrors])
        self.tokens, self.mirrored = text_input.encode_short([*self.texts, *(text for text, _ in mirrors)]).reshape(
            2, len(mirrors), -1
        )
        self.largest = max(e.size[0] * e.size[1] for e in release.expressions)
        # Several expressions refer to one image, but are not consecutive.
        self._picture = lru_cache(max(16, _MAX_IMAGE_BYTES // (3 * image.size**2)))(self._draw)

    def __len__(self) -> int:
        return len(self.release.expressions)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        import numpy as np

        from bench.tasks.square import Square

        expression = self.release.expressions[index]
        square = Square(*expression.size, self.keep_aspect)
        sample = {"vision": self._picture(expression)[None], "text": self.tokens[index, None]}
        if self.training:
            sample |= {"mirrored": self.mirrored[index, None], "mirrors": self.can_mirror[index]}
        else:
            sample["size"] = np.array([expression.size])
        if "box" in self.targets:
            sample["box"] = square.box(self.release.box(expression))[None]
        if "mask" in self.targets:
            mask = self.release.mask(expression)
            if "box" in self.targets:
                self.release.check_together(expression, mask)
            if self.training:
                sample["mask"] = square.mask(mask, self.image.size)[None]
            else:
                bits = np.packbits(mask)
                sample["truth"] = np.pad(bits, (0, -(-self.largest // 8) - len(bits)))[None]  # padded to equal length
        return sample

    def _draw(self, expression: Expression) -> np.ndarray:
        from bench.tasks.square import Square

        red, green, blue = (round(255 * value) for value in self.image.mean)
        square = Square(*expression.size, self.keep_aspect)
        return square.picture(self.release.image(expression), self.image.size, (red, green, blue))


def unpack(truth: Tensor, height: int, width: int) -> Tensor:
    """Return the mask (height, width), bool, from its bits as packed by numpy, (bytes,)."""
    import torch

    shifts = torch.arange(7, -1, -1, device=truth.device, dtype=torch.uint8)
    bits = (truth[:, None] >> shifts & 1).flatten()[: height * width]
    return bits.view(height, width).bool()


def mirror_words(text: str) -> tuple[str, bool]:
    """Return the text of the mirrored image, with left and right exchanged, and whether there is one.

    There is none if a word contains "left" or "right" as a part, such as "leftmost" or "upright".
    """
    words = re.findall(r"[^\W_]+", text.lower())
    if any(word not in ("left", "right") and ("left" in word or "right" in word) for word in words):
        return text, False
    swap = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)\b", lambda match: swap[match[1].lower()], text, flags=re.IGNORECASE), True
