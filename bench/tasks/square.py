"""Pictures of any size in a square, as a stream takes them, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Square:
    """A picture of `height` x `width` pixels, put into a square.

    With its aspect kept, the picture lies in the middle of a square as large as its longer side, which is then resized;
    otherwise it is stretched.
    """

    height: int
    width: int
    keep_aspect: bool = True

    @property
    def full(self) -> tuple[int, int]:
        """Height and width of the picture with what pads it, at its original resolution."""
        side = max(self.height, self.width)
        return (side, side) if self.keep_aspect else (self.height, self.width)

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column at which the picture begins, at its original resolution."""
        rows, columns = self.full
        return (rows - self.height) // 2, (columns - self.width) // 2

    def picture(self, pixels: np.ndarray, size: int, colour: tuple[int, int, int]) -> np.ndarray:
        """The picture (height, width, 3) resized (bicubic): (3, size, size); `colour` fills what is beside it."""
        canvas = np.full((*self.full, 3), colour, dtype=np.uint8)
        self._paste(canvas, pixels)
        resized = Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def mask(self, mask: np.ndarray, size: int) -> np.ndarray:
        """How much of each pixel of a `size` x `size` picture a mask (height, width) covers, 0 to 255."""
        canvas = np.zeros(self.full, dtype=np.uint8)
        self._paste(canvas, mask.astype(np.uint8) * 255)
        return np.array(Image.fromarray(canvas).resize((size, size), Image.Resampling.BOX))

    def box(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """A box x, y, width, height in pixels as centre x, centre y, width, height in shares of the square: (4,)."""
        x, y, width, height = box
        top, left = self.corner
        rows, columns = self.full
        shares = (x + width / 2 + left) / columns, (y + height / 2 + top) / rows, width / columns, height / rows
        return np.array(shares, dtype=np.float32)

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of the picture in shares of the square's side."""
        top, left = self.corner
        rows, columns = self.full
        return left / columns, top / rows, (left + self.width) / columns, (top + self.height) / rows

    def shares(self, box: np.ndarray) -> tuple[float, float, float, float]:
        """A box as from `box`, clamped to the picture: left, top, right, bottom in shares of its width and height."""
        centre_x, centre_y, width, height = (float(value) for value in box)
        left, top, right, bottom = self.edges

        def share(at: float, low: float, high: float) -> float:
            return min(max((at - low) / (high - low), 0.0), 1.0)

        return (
            share(centre_x - width / 2, left, right),
            share(centre_y - height / 2, top, bottom),
            share(centre_x + width / 2, left, right),
            share(centre_y + height / 2, top, bottom),
        )

    def logits(self, logits: Tensor) -> Tensor:
        """Logits (h, w) of a mask in the square, at the picture's original resolution: (height, width)."""
        from torch.nn import functional as F

        full = F.interpolate(logits[None, None], self.full, mode="bilinear", align_corners=False)[0, 0]
        top, left = self.corner
        return full[top : top + self.height, left : left + self.width]

    def _paste(self, canvas: np.ndarray, content: np.ndarray) -> None:
        top, left = self.corner
        canvas[top : top + self.height, left : left + self.width] = content
