"""Streams in lockstep: paired blocks advance together and exchange summaries three times each.

Dimensions in names: B batch, T tokens, D width of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.streams.base import Partners, Stream, SummaryKind

States: TypeAlias = dict[str, Tensor]
"""Tokens (B, T, D) by the name of the stream."""

Masks: TypeAlias = dict[str, Tensor]
"""Where tokens are real, not padding, (B, T), by the name of the stream; of those streams only that have padding."""


class Turn(NamedTuple):
    """What one stream does in one step: the blocks it runs alone, and the block that it then runs paired."""

    alone: range
    paired: int


Step: TypeAlias = dict[str, Turn]
"""A turn of every stream, by its name."""


def pair_blocks(depths: Mapping[str, int]) -> list[Step]:
    """Pair the blocks of streams of different depths evenly.

    Each block of the shallowest stream meets the last block of each group of the deeper ones: with 24 and 12 blocks,
    block j of the shallow stream meets block 2j + 1 of the deep one.
    """
    steps = min(depths.values())

    def turn(depth: int, step: int) -> Turn:
        first, last = depth * step // steps, depth * (step + 1) // steps - 1
        return Turn(range(first, last), last)

    return [{name: turn(depth, step) for name, depth in depths.items()} for step in range(steps)]


class MultiStream(nn.Module):
    """Unimodal encoders side by side, frozen until a method makes them trainable.

    Attributes:
        streams: by name.
        schedule: the steps of the lockstep.
        summary: what a stream tells its partners: its class token, or the mean of its tokens.
        gradient_checkpointing: compute each step again in the backward pass instead of keeping what it needs.
    """

    def __init__(self, streams: Mapping[str, Stream], summary: SummaryKind = "cls") -> None:
        super().__init__()
        self.streams: Mapping[str, Stream] = nn.ModuleDict(streams)  # type: ignore[assignment]
        self.schedule = pair_blocks({name: stream.depth for name, stream in streams.items()})
        self.summary: SummaryKind = summary
        self.gradient_checkpointing = False
        self.requires_grad_(False)

    def forward(self, inputs: Mapping[str, Tensor]) -> States:
        """Return the tokens (B, T, D) of every stream after its final norm.

        Args:
            inputs: normalised inputs by the name of the stream.
        """
        states = {name: stream.embed(inputs[name]) for name, stream in self.streams.items()}
        masks = self.masks(inputs)
        for step in self.schedule:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                states = checkpoint(self._step, step, states, masks, use_reentrant=False)
            else:
                states = self._step(step, states, masks)
        return {name: stream.finish(states[name]) for name, stream in self.streams.items()}

    def masks(self, inputs: Mapping[str, Tensor]) -> Masks:
        """Return where the tokens that `forward` gives for these inputs are real, of each stream that has padding."""
        found = {name: stream.mask(inputs[name]) for name, stream in self.streams.items()}
        return {name: mask_BT for name, mask_BT in found.items() if mask_BT is not None}

    def _step(self, step: Step, states: States, masks: Masks) -> States:
        """Advance every stream to the end of its paired block.

        At each of the three exchanges all summaries are taken before any stream moves.
        """
        streams = self.streams
        x = {name: s.run(step[name].alone, states[name], masks.get(name)) for name, s in streams.items()}
        partners = self._summaries(x, masks)
        context = {name: s.attend(step[name].paired, x[name], partners, masks.get(name)) for name, s in streams.items()}
        partners = self._summaries(context, masks)
        x = {name: s.project(step[name].paired, x[name], context[name], partners) for name, s in streams.items()}
        partners = self._summaries(x, masks)
        return {name: s.feed_forward(step[name].paired, x[name], partners) for name, s in streams.items()}

    def _summaries(self, states: States, masks: Masks) -> Partners:
        """Return the summaries of those streams that another one reads."""
        read = {partner for stream in self.streams.values() for partner in stream.reads}
        return {
            name: self.streams[name].summary(x_BTD, self.summary, masks.get(name))
            for name, x_BTD in states.items()
            if name in read
        }
