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

from bench.streams.base import STAGES, LinearEvaluator, Stream, SummaryKind, chain_evaluators

States: TypeAlias = dict[str, Tensor]
"""Tokens (B, T, D) by stream."""

Masks: TypeAlias = dict[str, Tensor]
"""Which tokens are not padding, (B, T), by stream. Streams without padding are left out."""

Summaries: TypeAlias = Mapping[str, Tensor]
"""Summary vectors (B, width of the stream) by stream."""


class Exchange(nn.Module, ABC):
    """How streams use each other's summaries in one stage of their paired blocks.

    Attributes:
        paths: Pairs (source, target) of streams: the target reads the source's summary.
        summary: The kind of summaries that it reads; None for the model's.
        covers: The `Stream.default_evaluator` whose work its evaluators do themselves. For a stream with a different
            one they receive stand-ins for the linears, which return what that one computes. None covers none.
    """

    paths: frozenset[tuple[str, str]]
    summary: SummaryKind | None = None
    covers: LinearEvaluator | None = None

    @abstractmethod
    def read(self, summaries: Summaries) -> Mapping[str, LinearEvaluator]:
        """Return an evaluator of linears for each target, given the summaries of the sources.

        Args:
            summaries: One vector (B, width of the source) for each source of `paths`.
        """


class StreamTurn(NamedTuple):
    """The turn of one stream in one step: the blocks it runs unpaired, then the block it runs paired."""

    unpaired: range
    paired: int


LockstepStep: TypeAlias = dict[str, StreamTurn]
"""The turn of each stream, by name."""


def pair_blocks(depths: Mapping[str, int]) -> list[LockstepStep]:
    """Pair the blocks of streams of different depths evenly.

    Each block of the shallowest stream is paired with the last block of the corresponding group of blocks of each
    deeper one: with 24 and 12 blocks, block j of the shallow stream is paired with block 2j + 1 of the deep one.

    Args:
        depths: Number of blocks of each stream, by name.

    Returns:
        The steps of the lockstep, as many as the shallowest stream has blocks.
    """
    steps = min(depths.values())

    def turn(depth: int, step: int) -> StreamTurn:
        first, last = depth * step // steps, depth * (step + 1) // steps - 1
        return StreamTurn(range(first, last), last)

    return [{name: turn(depth, step) for name, depth in depths.items()} for step in range(steps)]


class MultiStream(nn.Module):
    """Unimodal encoders side by side, frozen until a method makes parameters trainable.

    Attributes:
        streams: The streams, by name.
        schedule: The steps of the lockstep.
        inter: The exchanges, `inter[step][stage]`, in the order in which they were added; empty without a cross-modal
            method.
        summary: The kind of summary that partners read: the class token, or the mean of the tokens. An exchange may ask
            for the other kind.
        gradient_checkpointing: Whether each step is computed again in the backward pass, rather than keeping its
            activations.
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
            inputs: Normalized inputs, by stream.
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
        """Return which tokens of the output for these inputs are not padding, for each stream with padding."""
        masks = {name: stream.mask(inputs[name]) for name, stream in self.streams.items()}
        return {name: mask_BT for name, mask_BT in masks.items() if mask_BT is not None}

    def add_exchange(self, step: int, stage: str, exchange: Exchange) -> None:
        """Add an exchange of summaries to one stage of the paired blocks of a step.

        Exchanges at the same place are chained: the linears given to a later one return what the earlier one computes.

        Args:
            step: Number of the step.
            stage: A key of `STAGES`.
            exchange: The exchange to add.
        """
        if str(step) not in self.inter:
            self.inter[str(step)] = nn.ModuleDict({stage: nn.ModuleList() for stage in STAGES})
        self.inter[str(step)][stage].append(exchange)  # type: ignore[index]

    def exchanges(self) -> Iterator[tuple[int, Exchange]]:
        """Yield each exchange with the number of its step."""
        for step, stages in self.inter.items():
            for exchanges in stages.values():  # type: ignore[operator]
                for exchange in exchanges:
                    yield int(step), exchange

    def exchanges_at(self, step: int, stage: str) -> Iterable[Exchange]:
        """Return the exchanges in one stage of a step, in the order in which they were added."""
        return self.inter[str(step)][stage] if str(step) in self.inter else ()  # type: ignore[index]

    def _step(self, number: int, states: States, masks: Masks) -> States:
        """Advance every stream to the end of its paired block.

        At each of the three exchanges, the summaries of all streams are taken before any stream advances.
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
        """Return the evaluator of each stream that reads another one in a stage of a step."""
        evaluators: dict[str, LinearEvaluator] = {}
        for exchange in self.exchanges_at(step, stage):
            sources = {source for source, _ in exchange.paths}
            kind = exchange.summary or self.summary
            summaries = {n: self.streams[n].summary(x, kind, masks.get(n)) for n, x in states.items() if n in sources}
            for target, evaluator in exchange.read(summaries).items():
                inner = evaluators.get(target) or self.streams[target].default_evaluator
                evaluators[target] = (
                    chain_evaluators(inner, evaluator) if inner and inner is not exchange.covers else evaluator
                )
        return evaluators
