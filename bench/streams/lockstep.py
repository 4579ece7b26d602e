"""Streams in lockstep: paired blocks advance together and exchange what they compute three times each.

Dimensions in names: B batch, T tokens, D width of the stream.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.errors import BenchError, did_you_mean
from bench.streams.additions import SUBLAYERS, AddedTokens, Exchange, StreamState, Sublayer, SublayerAdapter
from bench.streams.base import Branch, LinearEvaluator, Stream, SummaryKind, chain_evaluators
from bench.streams.returned import check_shape, checked_evaluators
from bench.streams.roles import STAGES

States: TypeAlias = dict[str, Tensor]
"""Tokens (B, T, D) by stream."""

Masks: TypeAlias = dict[str, Tensor]
"""Which tokens are not padding, (B, T), by stream. Streams without padding are left out."""

Frames: TypeAlias = Mapping[str, int]
"""Number of consecutive rows that belong to one sample, by stream: that of the frames, or 1."""


class AddedTokensError(BenchError):
    """A method adds tokens to a stream whose family accepts none.

    Attributes:
        stream: Name of the stream.
    """

    def __init__(self, stream: str, family: str) -> None:
        super().__init__(f"{stream}: encoders of the family {family} accept no added tokens")
        self.stream = stream


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
        adapters: The modules around sublayers, `adapters[stream][block][sublayer]`, in the order in which they were
            added.
        summary: The kind of summary that partners read unless they ask for the other: the class token, or the mean of
            the tokens.
        gradient_checkpointing: Whether each step is computed again in the backward pass, rather than keeping its
            activations.
    """

    def __init__(self, streams: Mapping[str, Stream], summary: SummaryKind = "cls") -> None:
        super().__init__()
        self.streams: Mapping[str, Stream] = nn.ModuleDict(streams)  # type: ignore[assignment]
        self.schedule = pair_blocks({name: stream.depth for name, stream in streams.items()})
        self.inter = nn.ModuleDict()
        self.adapters = nn.ModuleDict()
        self.summary: SummaryKind = summary
        self.gradient_checkpointing = False
        self.requires_grad_(False)

    def forward(self, inputs: Mapping[str, Tensor], frames: int = 1) -> States:
        """Return the tokens (B, T, D) of every stream after its final norm.

        Args:
            inputs: Normalized inputs, by stream: as many of each, or of some streams one for `frames` of the others.
            frames: Number of consecutive inputs that belong to one sample, such as the frames of a video: B is a
                multiple of it. A stream with fewer inputs, such as a text, has one for each sample. Otherwise only
                methods whose exchanges or adapters read `StreamState.frames` depend on it.

        Raises:
            BenchError: The numbers of inputs do not fit together.
        """
        return self.resume(self.begin(inputs, frames), self.masks(inputs), frames)

    def begin(self, inputs: Mapping[str, Tensor], frames: int = 1, steps: int = 0) -> States:
        """Return the tokens (B, T, D) of every stream after its embeddings and some steps, for `resume`.

        Args:
            inputs: As for `forward`.
            frames: As for `forward`.
            steps: Number of steps of the lockstep, from the first.
        """
        states = {name: stream.embed(inputs[name]) for name, stream in self.streams.items()}
        return self._run(range(steps), states, self.masks(inputs), frames)

    def resume(self, states: States, masks: Masks, frames: int = 1, steps: int = 0) -> States:
        """Return the tokens (B, T, D) of every stream after its final norm.

        Args:
            states: What `begin` returned.
            masks: What `masks` returned for the same inputs.
            frames: As for `begin`.
            steps: As for `begin`: the number of steps that are done.
        """
        states = self._run(range(steps, len(self.schedule)), states, masks, frames)
        return {name: stream.finish(stream.without_added(states[name])) for name, stream in self.streams.items()}

    def masks(self, inputs: Mapping[str, Tensor]) -> Masks:
        """Return which tokens of the output for these inputs are not padding, for each stream with padding."""
        masks = {name: stream.mask(inputs[name]) for name, stream in self.streams.items()}
        return {name: mask_BT for name, mask_BT in masks.items() if mask_BT is not None}

    def add_exchange(self, step: int, stage: str, exchange: Exchange) -> None:
        """Add an exchange to one stage of the paired blocks of a step.

        Exchanges at the same place are chained: the linears given to a later one return what the earlier one computes.

        Args:
            step: Number of the step.
            stage: A key of `STAGES`: attend, project or feed_forward.
            exchange: The exchange to add.

        Raises:
            BenchError: There is no such step, stage or stream.
        """
        _check_number("step", step, len(self.schedule))
        _check_name("stage", stage, STAGES)
        for name in sorted({name for path in exchange.paths for name in path}):
            _check_name("stream", name, self.streams)
        if str(step) not in self.inter:
            self.inter[str(step)] = nn.ModuleDict({stage: nn.ModuleList() for stage in STAGES})
        self.inter[str(step)][stage].append(exchange)  # type: ignore[index]

    def add_adapter(self, stream: str, block: int, sublayer: Sublayer, adapter: SublayerAdapter) -> None:
        """Add an adapter around a sublayer of a block.

        Adapters at the same place are chained: a later one receives what the earlier one returned.

        Args:
            stream: Name of the stream.
            block: Number of the block.
            sublayer: "attention" or "feed_forward".
            adapter: The adapter to add.

        Raises:
            BenchError: There is no such stream, block or sublayer, or the adapter reads another stream where the block
                is not paired.
        """
        _check_name("stream", stream, self.streams)
        _check_number("block", block, self.streams[stream].depth)
        _check_name("sublayer", sublayer, SUBLAYERS)
        for name in sorted(adapter.reads):
            _check_name("stream", name, self.streams)
        paired = [step[stream].paired for step in self.schedule]
        if partners := sorted(adapter.reads - {stream}) if block not in paired else []:
            raise BenchError(
                f"{type(adapter).__name__} cannot read {', '.join(partners)} in block {block} of {stream}, which runs "
                f"unpaired; paired are the blocks {', '.join(map(str, paired))} (`MultiStream.schedule`)"
            )
        blocks: Any = _entry(self.adapters, stream, nn.ModuleDict)
        _entry(_entry(blocks, str(block), nn.ModuleDict), sublayer, nn.ModuleList).append(adapter)

    def add_tokens(self, stream: str, tokens: AddedTokens) -> None:
        """Add tokens to a stream, which follow its own through the blocks and are dropped after the last one.

        Args:
            stream: Name of the stream.
            tokens: The tokens to add.

        Raises:
            BenchError: There is no such stream.
            AddedTokensError: Its family accepts no added tokens.
        """
        _check_name("stream", stream, self.streams)
        if not self.streams[stream].accepts_added_tokens:
            raise AddedTokensError(stream, self.streams[stream].encoder.config.model_type)
        self.streams[stream].added.append(tokens)

    @property
    def reads_partners(self) -> bool:
        """Whether anything that was added lets a stream read another one."""
        if any(source != target for _, exchange in self.exchanges() for source, target in exchange.paths):
            return True
        return any(
            isinstance(module, SublayerAdapter) and bool(module.reads - {stream})
            for stream, blocks in self.adapters.items()
            for module in blocks.modules()
        )

    def exchanges(self) -> Iterator[tuple[int, Exchange]]:
        """Yield each exchange with the number of its step."""
        for step, stages in self.inter.items():
            for exchanges in stages.values():  # type: ignore[operator]
                for exchange in exchanges:
                    yield int(step), exchange

    def exchanges_at(self, step: int, stage: str) -> Iterable[Exchange]:
        """Return the exchanges in one stage of a step, in the order in which they were added."""
        return self.inter[str(step)][stage] if str(step) in self.inter else ()  # type: ignore[index]

    def _run(self, steps: range, states: States, masks: Masks, frames: int) -> States:
        """Advance every stream by some steps, given the masks of states without added tokens."""
        frames_of = _frames_of({name: len(states[name]) for name in self.streams}, frames)
        masks = {name: self.streams[name].mask_with_added(mask_BT) for name, mask_BT in masks.items()}
        for number in steps:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                states = checkpoint(self._step, number, states, masks, frames_of, use_reentrant=False)
            else:
                states = self._step(number, states, masks, frames_of)
        return states

    def _step(self, number: int, states: States, masks: Masks, frames: Frames) -> States:
        """Advance every stream to the end of its paired block."""
        step, x = self.schedule[number], dict(states)
        for name, turn in step.items():
            for block in turn.unpaired:
                x |= self._advance({name: block}, {name: x[name]}, masks, frames)
        return self._advance({name: turn.paired for name, turn in step.items()}, x, masks, frames, step=number)

    def _advance(
        self, blocks: Mapping[str, int], x: States, masks: Masks, frames: Frames, step: int | None = None
    ) -> States:
        """Advance streams by one block, together.

        At each exchange, the states of all streams are taken before any stream advances.

        Args:
            blocks: Number of the block, by stream.
            x: The state of each stream after its block before.
            masks: Masks of states with added tokens.
            frames: Number of consecutive rows of a stream that belong to one sample.
            step: Number of the step whose exchanges take part; None for none.
        """
        streams = {name: self.streams[name] for name in blocks}
        x = {n: s.with_added(blocks[n], x[n]) for n, s in streams.items()}
        x, branches = self._adapt("attention", blocks, x, masks, frames)
        evaluators = self._exchange(step, "attend", x, masks, frames)
        context = {n: s.attend(blocks[n], x[n], evaluators.get(n), masks.get(n)) for n, s in streams.items()}
        evaluators = self._exchange(step, "project", context, masks, frames)
        x = {n: s.project(blocks[n], x[n], context[n], evaluators.get(n), branches.get(n)) for n, s in streams.items()}
        x, branches = self._adapt("feed_forward", blocks, x, masks, frames)
        evaluators = self._exchange(step, "feed_forward", x, masks, frames)
        return {n: s.feed_forward(blocks[n], x[n], evaluators.get(n), branches.get(n)) for n, s in streams.items()}

    def _adapt(
        self, sublayer: Sublayer, blocks: Mapping[str, int], x: States, masks: Masks, frames: Frames
    ) -> tuple[States, dict[str, Branch]]:
        """Return the states that a sublayer reads, and the branch of each stream whose sublayer has adapters."""
        adapters = {name: self._adapters_at(name, block, sublayer) for name, block in blocks.items()}
        sources = {source for chain in adapters.values() for adapter in chain for source in adapter.reads}
        states = self._read(sources, x, masks, frames)
        for name, chain in adapters.items():
            for adapter in chain:
                adapted_BTD = adapter.before(x[name], _aligned(states, len(x[name])))
                check_shape(adapter, "before", adapted_BTD, x[name].shape)
                x = {**x, name: adapted_BTD}
        states = self._read(sources, x, masks, frames)
        return x, {
            name: partial(_adapted, chain, _aligned(states, len(x[name]))) for name, chain in adapters.items() if chain
        }

    def _adapters_at(self, stream: str, block: int, sublayer: Sublayer) -> list[SublayerAdapter]:
        place: Any = self.adapters
        for key in (stream, str(block), sublayer):
            if key not in place:
                return []
            place = place[key]
        return list(place)

    def _read(self, names: Collection[str], x: States, masks: Masks, frames: Frames) -> dict[str, StreamState]:
        """Return what may be read of streams."""
        states = {}
        for name in names:
            own_BTD, mask_BT = self.streams[name].without_added(x[name]), masks.get(name)
            own_mask_BT = None if mask_BT is None else mask_BT[:, : own_BTD.shape[1]]
            states[name] = StreamState(self.streams[name], own_BTD, own_mask_BT, frames[name], self.summary)
        return states

    def _exchange(
        self, step: int | None, stage: str, x: States, masks: Masks, frames: Frames
    ) -> Mapping[str, LinearEvaluator]:
        """Return the evaluator of each stream that reads another one in a stage of a step."""
        exchanges = () if step is None else self.exchanges_at(step, stage)

        def features(target: str, role: str) -> int:
            return self.streams[target].features(self.schedule[step][target].paired, role)[1]  # type: ignore[index]

        states = self._read({source for exchange in exchanges for source, _ in exchange.paths}, x, masks, frames)
        evaluators: dict[str, LinearEvaluator] = {}
        for exchange in exchanges:
            sources = {name: states[name] for name, _ in exchange.paths}
            targets = sorted({target for _, target in exchange.paths})
            for served, read in exchange.readings(sources, {target: len(x[target]) for target in targets}):
                for target, evaluator in checked_evaluators(exchange, read, targets, features).items():
                    if target not in served:
                        continue
                    inner = evaluators.get(target) or self.streams[target].default_evaluator
                    evaluators[target] = (
                        chain_evaluators(inner, evaluator) if inner and inner is not exchange.covers else evaluator
                    )
        return evaluators


def _frames_of(rows: Mapping[str, int], frames: int) -> dict[str, int]:
    """Return how many consecutive rows of each stream belong to one sample, given the rows of each."""
    most = max(rows.values())
    if any(count != most and count * frames != most for count in rows.values()):
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise BenchError(
            f"the numbers of inputs of the streams do not fit together: {counts}; with {frames} for each sample, a "
            f"stream has {most}, or one for each sample"
        )
    return {name: frames if count == most else 1 for name, count in rows.items()}


def _aligned(states: Mapping[str, StreamState], rows: int) -> dict[str, StreamState]:
    """Return states as a stream with this many rows reads them."""
    return {name: state.aligned(rows) for name, state in states.items()}


def _adapted(
    adapters: Iterable[SublayerAdapter], states: Mapping[str, StreamState], x_BTD: Tensor, y_BTD: Tensor
) -> Tensor:
    """Return what a sublayer with adapters adds to the state that it read."""
    for adapter in adapters:
        y_BTD = adapter.after(x_BTD, y_BTD, states)
        check_shape(adapter, "after", y_BTD, x_BTD.shape)
    return y_BTD


def _entry(modules: nn.ModuleDict, key: str, kind: type[nn.Module]) -> Any:
    """Return the entry of a dict of modules, adding an empty one if it is missing."""
    if key not in modules:
        modules[key] = kind()
    return modules[key]


def _check_number(kind: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise BenchError(f"there is no {kind} {number}: they are numbered from 0 to {count - 1}")


def _check_name(kind: str, name: str, existing: Iterable[str]) -> None:
    if name not in existing:
        raise BenchError(f"there is no {kind} {name}: {did_you_mean(name, existing)}")
