"""Images of any size fitted into the square input of a stream, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Square:
    """The placement of an image of `height` x `width` pixels in a square.

    If its aspect ratio is kept, the image is in the middle of a square as large as its longer side, which is then
    resized; otherwise it is stretched.

    Attributes:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        keep_aspect: Whether the aspect ratio is kept.
    """

    height: int
    width: int
    keep_aspect: bool = True

    @property
    def full(self) -> tuple[int, int]:
        """Height and width of the image with its padding, at the original resolution."""
        side = max(self.height, self.width)
        return (side, side) if self.keep_aspect else (self.height, self.width)

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the top left pixel of the image, at the original resolution."""
        rows, columns = self.full
        return (rows - self.height) // 2, (columns - self.width) // 2

    def picture(self, pixels: np.ndarray, size: int, color: tuple[int, int, int]) -> np.ndarray:
        """Return the image resized (bicubic), (3, size, size).

        Args:
            pixels: The image (height, width, 3).
            size: Side of the square, in pixels.
            color: Color of the padding.
        """
        canvas = np.full((*self.full, 3), color, dtype=np.uint8)
        self._paste(canvas, pixels)
        resized = Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def mask(self, mask: np.ndarray, size: int) -> np.ndarray:
        """Return how much of each pixel of a square a mask covers, (size, size), 0 to 255.

        Args:
            mask: The mask (height, width).
            size: Side of the square, in pixels.
        """
        canvas = np.zeros(self.full, dtype=np.uint8)
        self._paste(canvas, mask.astype(np.uint8) * 255)
        return np.array(Image.fromarray(canvas).resize((size, size), Image.Resampling.BOX))

    def box(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Return a box in fractions of the square, (4,): center x, center y, width, height.

        Args:
            box: x, y, width, height in pixels of the image.
        """
        x, y, width, height = box
        top, left = self.corner
        rows, columns = self.full
        fractions = (x + width / 2 + left) / columns, (y + height / 2 + top) / rows, width / columns, height / rows
        return np.array(fractions, dtype=np.float32)

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of the image, in fractions of the side of the square."""
        top, left = self.corner
        rows, columns = self.full
        return left / columns, top / rows, (left + self.width) / columns, (top + self.height) / rows

    def image_fractions(self, box: np.ndarray) -> tuple[float, float, float, float]:
        """Return a box in fractions of the image, clamped to it: left, top, right, bottom.

        Args:
            box: A box as returned by `box`, (4,).
        """
        center_x, center_y, width, height = (float(value) for value in box)
        left, top, right, bottom = self.edges

        def fraction(value: float, low: float, high: float) -> float:
            return min(max((value - low) / (high - low), 0.0), 1.0)

        return (
            fraction(center_x - width / 2, left, right),
            fraction(center_y - height / 2, top, bottom),
            fraction(center_x + width / 2, left, right),
            fraction(center_y + height / 2, top, bottom),
        )

    def logits(self, logits: Tensor) -> Tensor:
        """Return logits (h, w) of a mask in the square at the image's original resolution, (height, width)."""
        from torch.nn import functional as F

        full = F.interpolate(logits[None, None], self.full, mode="bilinear", align_corners=False)[0, 0]
        top, left = self.corner
        return full[top : top + self.height, left : left + self.width]

    def _paste(self, canvas: np.ndarray, content: np.ndarray) -> None:
        top, left = self.corner
        canvas[top : top + self.height, left : left + self.width] = content
