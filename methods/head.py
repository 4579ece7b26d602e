"""The head alone: the floor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method
from bench.methods.search_space import Range, Space

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class HeadOnly(Method):
    """The streams stay frozen and the task's head is trained: y = W x + b. The floor of a comparison.

    A linear probe where the head is linear: Alain and Bengio, "Understanding intermediate layers using linear
    classifier probes", ICLR 2017 workshop. No parameter of the streams is trained.
    """

    @property
    def search(self) -> Space:
        """The head's learning rate, in the place of the adapter's that others have."""
        return {"lr_head": Range()}

    def attach(self, model: MultiStream) -> None:
        """Leave everything frozen."""
        super().attach(model)
