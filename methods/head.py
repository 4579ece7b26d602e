"""The head alone: the floor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class HeadOnly(Method):
    """The streams stay frozen and the task's head is trained: y = W x + b. The floor of a comparison.

    A linear probe where the head is linear: Alain and Bengio, "Understanding intermediate layers using linear
    classifier probes", ICLR 2017 workshop. No parameter of the streams is trained.
    """

    def attach(self, model: MultiStream) -> None:
        """Leave everything frozen."""
        super().attach(model)
