"""LoRA+ in its own package: a method with parameter groups."""

from __future__ import annotations

from dataclasses import dataclass

from bench import ParameterGroup
from bench.methods.lora import LoRA


@dataclass
class FastB(LoRA):
    """LoRA+: LoRA whose B is trained with `ratio` times the learning rate of A.

    Hayou et al., "LoRA+: Efficient Low Rank Adaptation of Large Models", ICML 2024.
    """

    ratio: float = 16.0

    def parameter_groups(self):
        """Return the group of all B; A stays in the group of everything else."""
        names = [name for name in self.adapter_names(self.model) if ".lora_B." in name]
        return {**super().parameter_groups(), "B": ParameterGroup(names, lr_factor=self.ratio)}
