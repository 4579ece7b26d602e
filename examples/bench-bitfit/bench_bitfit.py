"""BitFit, a method in its own package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import Method

if TYPE_CHECKING:
    from bench import MultiStream


@dataclass
class BitFit(Method):
    """BitFit: trains only the biases of the streams: y = W x + b + db.

    Ben Zaken, Goldberg and Ravfogel, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
    Language-models", ACL 2022. As in the paper, the biases of the norms are included.
    """

    def attach(self, model: MultiStream) -> None:
        """Make every bias trainable."""
        super().attach(model)
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.requires_grad_(True)
