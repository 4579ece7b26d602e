"""Full fine-tuning: the usual ceiling of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class FullFineTuning(Method):
    """Full fine-tuning: every parameter of the streams is trained, y = (W + dW) x + b + db. The usual ceiling.

    No paper: the practice that adapters are measured against. It wants a learning rate well below an adapter's.
    """

    def attach(self, model: MultiStream) -> None:
        """Let all parameters of all streams be trained."""
        super().attach(model)
        model.requires_grad_(True)
