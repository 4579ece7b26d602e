"""BitFit, a method in a package of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import Method

if TYPE_CHECKING:
    from bench import MultiStream


@dataclass
class BitFit(Method):
    """BitFit: the biases of the streams are trained, and nothing else: y = W x + b + db.

    Ben Zaken, Goldberg and Ravfogel, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
    Language-models", ACL 2022. The biases of the norms are among them, as in the paper.
    """

    def attach(self, model: MultiStream) -> None:
        """Let every bias be trained."""
        super().attach(model)
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.requires_grad_(True)
