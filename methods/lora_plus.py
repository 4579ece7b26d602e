"""LoRA+, through PEFT's LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.methods.base import ParameterGroup
from bench.methods.lora import LoRA


@dataclass
class LoRAPlus(LoRA):
    """LoRA whose B has a higher learning rate than A: y = W x + b + (alpha / r) B A x, lr(B) = ratio lr(A).

    Hayou et al., "LoRA+: Efficient Low Rank Adaptation of Large Models", ICML 2024, arXiv 2402.12354. `lr_adapter` is
    the learning rate of A. Weight decay is that of the recipe for both, as in the authors' code
    (github.com/nikhil-ghosh-berkeley/loraplus). That has a third rate, for LoRA on embeddings, which are not adapted
    here.

    Attributes:
        r: Rank, or a table of ranks, as for LoRA.
        alpha: Scale; the product is multiplied by alpha / r.
        dropout: Probability of dropping an element of the adapter's input in training.
        ratio: Learning rate of B, as a multiple of that of A; 16 as the paper recommends.
    """

    ratio: float = 16.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio <= 0:
            raise ValueError("ratio must be above 0")

    def parameter_groups(self) -> Mapping[str, ParameterGroup]:
        """Return the group of all B."""
        names = [name for name in self.adapter_names(self.model) if ".lora_B." in name]
        return {**super().parameter_groups(), "B": ParameterGroup(names, lr_factor=self.ratio)}
