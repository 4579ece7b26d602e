"""DoRA, through PEFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.lora import LoRA

if TYPE_CHECKING:
    from peft import LoraConfig

    from bench.streams.base import Stream


@dataclass
class DoRA(LoRA):
    """Weight-decomposed LoRA: y = m (W + s B A) x / |W + s B A| + b, s = alpha / r, with row norms.

    A, B and the magnitudes m, one for each output feature, are trained. The gradient of the norm is not followed. Liu
    et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024, arXiv 2402.09353.

    Attributes:
        r: Rank, or a table of ranks, as for `LoRA`.
        alpha: s = alpha / r.
        dropout: Probability of dropping an element of the adapter's input in training. With dropout, each linear costs
            another dense product.
    """

    def config(self, stream: Stream) -> LoraConfig:
        """Return PEFT's configuration for the linears to adapt."""
        config = super().config(stream)
        config.use_dora = True
        return config
