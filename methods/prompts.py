"""Trained prompts, as tokens that are added to a stream.

Dimensions in names: L blocks with prompts of their own, P prompts, D width, B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.streams.additions import AddedTokens


class Prompts(AddedTokens):
    """Prompts for the first blocks of a stream; later blocks receive what the block before made of them.

    Attributes:
        values: The prompts (L, P, D).
    """

    def __init__(self, count: int, width: int, blocks: int) -> None:
        """Draw prompts.

        Args:
            count: Number of prompts.
            width: Width of the stream.
            blocks: Number of blocks, from the first, with prompts of their own.
        """
        super().__init__()
        self.count = count
        bound = (6 / (2 * width)) ** 0.5
        self.values = nn.Parameter(torch.empty(blocks, count, width).uniform_(-bound, bound))

    def forward(self, block: int, previous_BPD: Tensor | None) -> Tensor:
        """Return the prompts that enter a block."""
        if previous_BPD is None or block < len(self.values):
            return self.values[block]
        return previous_BPD
