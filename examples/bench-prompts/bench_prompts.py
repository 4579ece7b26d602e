"""Prompt tuning in its own package: a method that adds tokens to streams."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bench import AddedTokens, Method, MultiStream


class Prompts(AddedTokens):
    """Tokens that enter the first block and go through all others with the stream's own."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.count = count
        self.values = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, block: int, previous_BPD: torch.Tensor | None) -> torch.Tensor:
        return self.values if previous_BPD is None else previous_BPD


@dataclass
class PromptTuning(Method):
    """Prompt tuning: trained tokens beside those of each stream, and nothing else: [x, p] -> blocks([x, p]).

    Jia et al., "Visual Prompt Tuning", ECCV 2022 (VPT-shallow).
    """

    count: int = 8

    starts_as_frozen = False  # attention reads the prompts from the start

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The number of prompts, which `--budget` chooses."""
        return ("count",)

    def attach(self, model: MultiStream) -> None:
        """Add prompts to every stream."""
        super().attach(model)
        for name, stream in model.streams.items():
            model.add_tokens(name, Prompts(self.count, stream.width).to(next(stream.parameters())))
