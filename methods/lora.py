"""LoRA, through PEFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.methods.targets import Ranks, Targeted, check_ranks, rank_patterns, reference_rank, with_largest

if TYPE_CHECKING:
    from peft import LoraConfig

    from bench.streams.base import Stream


@dataclass
class LoRA(Targeted):
    """LoRA on linears of each stream separately: y = W x + b + (alpha / r) B A x.

    A and B are trained. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv
    2106.09685.

    Attributes:
        r: Rank, or a table of ranks by stream, role and block (`bench.methods.targets.Ranks`).
        alpha: Scale; the product is multiplied by alpha / r. With a table of ranks, r is here the table's `default`, or
            its largest rank: all linears have the same scale.
        dropout: Probability of dropping an element of the adapter's input in training.

    `Targeted` describes the choice of streams, linears and blocks; by default, every linear is adapted.
    """

    r: Ranks = 16
    alpha: float = 8.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranks(self.r, "r")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and less than 1")

    @property
    def rank(self) -> int:
        """The rank of the path; that which alpha refers to if linears have different ones."""
        return reference_rank(self.r)

    @property
    def rank_table(self) -> Ranks:
        """The ranks of the linears."""
        return self.r

    @property
    def scale(self) -> float:
        """The factor alpha / r of the low-rank product."""
        return self.alpha / self.rank

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The rank."""
        return ("r",)

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return a rank, with the alpha that keeps alpha / r. A table keeps its proportions: `value` is its largest."""
        if setting != "r":
            return super().with_size(setting, value)
        ranks = with_largest(self.r, value)
        return {"r": ranks, "alpha": self.scale * reference_rank(ranks)}

    def config(self, stream: Stream) -> LoraConfig:
        """Return PEFT's configuration for the linears to adapt."""
        from peft import LoraConfig

        targets, r = self.targets(stream), self.rank
        patterns = rank_patterns(targets, r, self.alpha)
        return LoraConfig(
            r=r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=list(targets), **patterns
        )
