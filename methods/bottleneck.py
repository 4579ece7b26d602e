"""The bottleneck of adapters: a projection to few features and back.

Dimensions in names: B batch, T tokens, D width, H hidden features.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.additions import StreamState, SublayerAdapter


class BottleneckAdapter(SublayerAdapter):
    """A bottleneck after a sublayer or beside it, which returns 0 until it is trained.

    Attributes:
        down: W1 and b1.
        up: W2 and b2.
        place: "after" or "beside".
    """

    def __init__(self, width: int, hidden: int, place: str) -> None:
        """Make a bottleneck.

        Args:
            width: Features of a token.
            hidden: Features of the bottleneck.
            place: "after" or "beside".
        """
        super().__init__()
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.place = place
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def after(self, x_BTD: Tensor, y_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return what is added to the state: y + W2 GELU(W1 y + b1) + b2, of x in place of y if it stands beside."""
        source_BTD = y_BTD if self.place == "after" else x_BTD
        return y_BTD + self.up(F.gelu(self.down(source_BTD)))
