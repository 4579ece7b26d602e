"""LoRA, through PEFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from peft import LoraConfig

    from bench.streams.base import Stream


@dataclass
class LoRA(PeftMethod):
    """LoRA on every linear of each stream separately: y = W x + b + (alpha / r) B A x.

    A and B are trained. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Attributes:
        r: Rank.
        alpha: Scale; the product is multiplied by alpha / r.
        dropout: Probability of dropping an element of the adapter's input in training.
    """

    r: int = 16
    alpha: float = 8.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r < 1:
            raise ValueError("r must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and less than 1")

    @property
    def rank(self) -> int:
        """The rank of the path."""
        return self.r

    @property
    def scale(self) -> float:
        """The factor alpha / r of the low-rank product."""
        return self.alpha / self.r

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The rank."""
        return ("r",)

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return a rank, with the alpha that keeps alpha / r."""
        changed = super().with_size(setting, value)
        return {**changed, "alpha": self.scale * value} if setting == "r" else changed

    def config(self, stream: Stream) -> LoraConfig:
        """Return PEFT's configuration for all linears of all blocks."""
        from peft import LoraConfig

        targets = stream.all_linears()
        return LoraConfig(r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets)
