"""The head only: the lower bound of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method
from bench.methods.search_space import Range, Space

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class HeadOnly(Method):
    """Frozen streams with a trained head: y = W x + b. The lower bound of every comparison.

    With a linear head, this is a linear probe: Alain and Bengio, "Understanding intermediate layers using linear
    classifier probes", ICLR 2017 workshop. No parameter of the streams is trained.
    """

    @property
    def search(self) -> Space:
        """The head's learning rate, instead of the adapter's."""
        return {"lr_head": Range()}

    def attach(self, model: MultiStream) -> None:
        """Leave all streams frozen."""
        super().attach(model)
