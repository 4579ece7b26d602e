"""Full fine-tuning: the usual upper bound of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class FullFineTuning(Method):
    """Full fine-tuning: all stream parameters are trained, y = (W + dW) x + b + db. The usual upper bound.

    There is no paper: it is the practice that adapters are compared with. It needs a much lower learning rate than
    adapters.
    """

    def attach(self, model: MultiStream) -> None:
        """Make all parameters of all streams trainable."""
        super().attach(model)
        model.requires_grad_(True)
