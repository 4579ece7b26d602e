"""A cross-attention adapter in its own package: a method that reads all tokens of the partner, with their mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from bench import Method, MultiStream, SublayerAdapter


class Reader(SublayerAdapter):
    """Beside an MLP: the stream's tokens attend to those of one partner in `hidden` features."""

    def __init__(self, partner: str, width: int, partner_width: int, hidden: int) -> None:
        super().__init__()
        self.partner, self.reads = partner, frozenset((partner,))
        self.query, self.up = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.key, self.value = nn.Linear(partner_width, hidden, bias=False), nn.Linear(partner_width, hidden)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def after(self, x_BTD, y_BTD, states):
        state = states[self.partner]
        mask = None if state.mask is None else state.mask[:, None]  # (B, 1, tokens of the partner)
        keys, values = self.key(state.tokens), self.value(state.tokens)
        return y_BTD + self.up(F.scaled_dot_product_attention(self.query(x_BTD), keys, values, mask))


@dataclass
class CrossAttention(Method):
    """Adapters beside the MLPs of paired blocks that attend to the partner: x + mlp(x) + W softmax(q k^T) v."""

    features: int = 16

    reads_partners = True

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The features of the attention, which `--budget` chooses."""
        return ("features",)

    def attach(self, model: MultiStream) -> None:
        """Add an adapter for each pair of streams in each step of the lockstep."""
        super().attach(model)
        for step in model.schedule:
            widths = {name: model.streams[name].width_at(turn.paired) for name, turn in step.items()}
            for name, partner in ((a, b) for a in widths for b in widths if a != b):
                reader = Reader(partner, widths[name], widths[partner], self.features)
                parameter: torch.Tensor = next(model.streams[name].parameters())
                model.add_adapter(name, step[name].paired, "feed_forward", reader.to(parameter))
