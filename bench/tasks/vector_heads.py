"""Heads that read one vector per stream.

Dimensions in names: B samples, T inputs of each, D width of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from bench.streams.base import mean_token
from bench.streams.lockstep import Masks, States
from bench.tasks.model import Head


class VectorHead(Head):
    """A head that reads one vector per stream, averaged over the inputs of a sample.

    The vector is the stream's summary (its class token; the mean of all tokens if it has none), or always the mean.

    Args:
        widths: Width of each stream, by name.
        reads: "cls" for the summary, or "mean".
    """

    pools = True

    def __init__(self, widths: Mapping[str, int], reads: Literal["cls", "mean"]) -> None:
        super().__init__()
        self.streams, self.reads = tuple(widths), reads

    def vector(self, states: States, stream: str, masks: Masks) -> Tensor:
        """Return the vector (B, D) of a stream."""
        if self.reads == "mean":
            vectors_BTD = mean_token(states[stream], masks.get(stream))
        else:
            vectors_BTD = self.summary(states, stream, masks)
        return vectors_BTD.mean(1)


class LinearClassifier(VectorHead):
    """The vectors of all streams, concatenated, through one linear."""

    def __init__(self, widths: Mapping[str, int], classes: int, reads: Literal["cls", "mean"]) -> None:
        super().__init__(widths, reads)
        self.linear = nn.Linear(sum(widths.values()), classes)

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return logits (B, classes)."""
        return self.linear(torch.cat([self.vector(states, name, masks) for name in self.streams], dim=-1))


class Projections(VectorHead):
    """The vector of each stream through a linear of its own, to a space that all share."""

    def __init__(self, widths: Mapping[str, int], dimensions: int, reads: Literal["cls", "mean"]) -> None:
        super().__init__(widths, reads)
        self.linears = nn.ModuleDict({name: nn.Linear(width, dimensions) for name, width in widths.items()})

    def forward(self, states: States, masks: Masks) -> dict[str, Tensor]:
        """Return a vector (B, dimensions) for each stream."""
        return {name: self.linears[name](self.vector(states, name, masks)) for name in self.streams}
