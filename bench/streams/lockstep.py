"""Streams in lockstep: paired blocks advance together and exchange summaries three times each.

Dimensions in names: B batch, T tokens, D width of the stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.streams.base import STAGES, LinearEvaluator, Stream, SummaryKind, over

States: TypeAlias = dict[str, Tensor]
"""Tokens (B, T, D) by the name of the stream."""

Masks: TypeAlias = dict[str, Tensor]
"""Where tokens are real, not padding, (B, T), by the name of the stream; of those streams only that have padding."""


Summaries: TypeAlias = Mapping[str, Tensor]
"""Summary vectors (B, width of the stream) by the name of the stream that they are of."""


class Exchange(nn.Module, ABC):
    """What streams make of each other's summaries in one stage of their paired blocks.

    Attributes:
        paths: pairs (source, target): the target reads the source.
        summary: the kind of summaries that it reads; None for the model's.
        covers: the `Stream.default_evaluator` whose work its evaluators do themselves. For a stream with a different
            one they receive stand-ins for the linears, which return what that one computes. None covers none.
    """

    paths: frozenset[tuple[str, str]]
    summary: SummaryKind | None = None
    covers: LinearEvaluator | None = None

    @abstractmethod
    def read(self, summaries: Summaries) -> Mapping[str, LinearEvaluator]:
        """Return how the linears of each target are evaluated, given the summaries of the sources."""


class StreamTurn(NamedTuple):
    """What one stream does in one step: the blocks it runs alone, and the block that it then runs paired."""

    unpaired: range
    paired: int


LockstepStep: TypeAlias = dict[str, StreamTurn]
"""A turn of every stream, by its name."""


def pair_blocks(depths: Mapping[str, int]) -> list[LockstepStep]:
    """Pair the blocks of streams of different depths evenly.

    Each block of the shallowest stream meets the last block of each group of the deeper ones: with 24 and 12 blocks,
    block j of the shallow stream meets block 2j + 1 of the deep one.
    """
    steps = min(depths.values())

    def turn(depth: int, step: int) -> StreamTurn:
        first, last = depth * step // steps, depth * (step + 1) // steps - 1
        return StreamTurn(range(first, last), last)

    return [{name: turn(depth, step) for name, depth in depths.items()} for step in range(steps)]


class MultiStream(nn.Module):
    """Unimodal encoders side by side, frozen until a method makes them trainable.

    Attributes:
        streams: by name.
        schedule: the steps of the lockstep.
        inter: what the streams exchange, `inter[step][stage]`, in the order in which it was added; empty without a
            cross-modal method.
        summary: what a stream tells its partners: its class token, or the mean of its tokens. An exchange may ask for
            the other.
        gradient_checkpointing: compute each step again in the backward pass instead of keeping what it needs.
    """

    def __init__(self, streams: Mapping[str, Stream], summary: SummaryKind = "cls") -> None:
        super().__init__()
        self.streams: Mapping[str, Stream] = nn.ModuleDict(streams)  # type: ignore[assignment]
        self.schedule = pair_blocks({name: stream.depth for name, stream in streams.items()})
        self.inter = nn.ModuleDict()
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
        for number in range(len(self.schedule)):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                states = checkpoint(self._step, number, states, masks, use_reentrant=False)
            else:
                states = self._step(number, states, masks)
        return {name: stream.finish(states[name]) for name, stream in self.streams.items()}

    def masks(self, inputs: Mapping[str, Tensor]) -> Masks:
        """Return where the tokens that `forward` gives for these inputs are real, of each stream that has padding."""
        found = {name: stream.mask(inputs[name]) for name, stream in self.streams.items()}
        return {name: mask_BT for name, mask_BT in found.items() if mask_BT is not None}

    def add_exchange(self, step: int, stage: str, exchange: Exchange) -> None:
        """Let the streams exchange summaries in one stage of the paired blocks of a step.

        Where they do so already both hold: to the later exchange the linears give what the earlier one makes of them.
        """
        if str(step) not in self.inter:
            self.inter[str(step)] = nn.ModuleDict({stage: nn.ModuleList() for stage in STAGES})
        self.inter[str(step)][stage].append(exchange)  # type: ignore[index]

    def exchanges(self) -> Iterator[tuple[int, Exchange]]:
        """Yield what the streams exchange, with the number of its step."""
        for step, stages in self.inter.items():
            for exchanges in stages.values():  # type: ignore[operator]
                for exchange in exchanges:
                    yield int(step), exchange

    def exchanges_at(self, step: int, stage: str) -> Iterable[Exchange]:
        """Return what the streams exchange in one stage of a step, in the order in which it was added."""
        return self.inter[str(step)][stage] if str(step) in self.inter else ()  # type: ignore[index]

    def _step(self, number: int, states: States, masks: Masks) -> States:
        """Advance every stream to the end of its paired block.

        At each of the three exchanges all summaries are taken before any stream moves.
        """
        step, streams = self.schedule[number], self.streams
        x = {name: s.run(step[name].unpaired, states[name], masks.get(name)) for name, s in streams.items()}
        block = {name: turn.paired for name, turn in step.items()}
        evaluators = self._exchange(number, "attend", x, masks)
        context = {n: s.attend(block[n], x[n], evaluators.get(n), masks.get(n)) for n, s in streams.items()}
        evaluators = self._exchange(number, "project", context, masks)
        x = {n: s.project(block[n], x[n], context[n], evaluators.get(n)) for n, s in streams.items()}
        evaluators = self._exchange(number, "feed_forward", x, masks)
        return {n: s.feed_forward(block[n], x[n], evaluators.get(n)) for n, s in streams.items()}

    def _exchange(self, step: int, stage: str, states: States, masks: Masks) -> Mapping[str, LinearEvaluator]:
        """Return how each stream's linears of a stage are evaluated; nothing for those that read no other stream."""
        found: dict[str, LinearEvaluator] = {}
        for exchange in self.exchanges_at(step, stage):
            sources = {source for source, _ in exchange.paths}
            kind = exchange.summary or self.summary
            summaries = {n: self.streams[n].summary(x, kind, masks.get(n)) for n, x in states.items() if n in sources}
            for target, evaluator in exchange.read(summaries).items():
                before = found.get(target) or self.streams[target].default_evaluator
                found[target] = over(before, evaluator) if before and before is not exchange.covers else evaluator
        return found
