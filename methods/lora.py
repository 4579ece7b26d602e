"""LoRA, through PEFT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.methods.base import Method

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class LoRA(Method):
    """LoRA on every linear, each stream by itself: y = W x + b + (alpha / r) B A x.

    A and B are trained. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Attributes:
        r: rank.
        alpha: scale; the product is multiplied by alpha / r.
        dropout: probability of dropping an element of the adapter's input in training.
    """

    r: int = 16
    alpha: float = 8.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.r < 1:
            raise ValueError("r must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and less than 1")

    def attach(self, model: MultiStream) -> None:
        """Put LoRA into every linear of the model's blocks."""
        from peft import LoraConfig

        from bench.methods.peft_adapters import PeftAdapters

        super().attach(model)

        def config(targets: list[str]) -> LoraConfig:
            return LoraConfig(r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets)

        self.adapters = PeftAdapters(model, config)

    def merge(self) -> None:
        """Fold B A into W."""
        self.adapters.merge()

    def unmerge(self) -> None:
        """Give W back as it was, bit for bit."""
        self.adapters.unmerge()

    def save(self, folder: Path) -> None:
        """Write a PEFT folder a stream, and the settings."""
        self.write_description(folder)
        self.adapters.save(folder)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: it was saved with other settings or from other streams, or is incomplete.
        """
        self.check_description(folder)
        self.adapters.load(folder)
