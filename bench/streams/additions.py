"""What a method can add to streams besides trained weights: exchanges between linears, adapters, and tokens.

Dimensions in names: B batch, T tokens, D width of the stream, P added tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Literal, TypeAlias

from torch import Tensor, nn

from bench.streams.base import LinearEvaluator, Stream, SummaryKind

Sublayer: TypeAlias = Literal["attention", "feed_forward"]
"""The two parts of a block, each with a residual connection around it."""

SUBLAYERS: tuple[Sublayer, ...] = ("attention", "feed_forward")


class StreamState:
    """The tokens of one stream at one point of the lockstep, as other streams may read them.

    A stream has a row of the batch for each frame of a sample or, such as a text beside a video, one for the sample.
    Readers never see this: the lockstep gives each of them its partners' states with the rows that it has (`aligned`).

    Attributes:
        tokens: The stream's own tokens (B, T, D), special ones first, without those that a method has added.
        mask: Which of them are not padding, (B, T); None if there is no padding.
        frames: Number of consecutive rows of the batch that are the inputs of one sample, such as the frames of a
            video: `tokens.unflatten(0, (-1, frames))` separates samples.
    """

    def __init__(
        self, stream: Stream, tokens_BTD: Tensor, mask_BT: Tensor | None, frames: int, default_summary: SummaryKind
    ) -> None:
        self.tokens = tokens_BTD
        self.mask = mask_BT
        self.frames = frames
        self._stream = stream
        self._default_summary = default_summary
        self._summaries: dict[SummaryKind, Tensor] = {}
        self._aligned: dict[int, StreamState] = {}

    def summary(self, kind: SummaryKind | None = None) -> Tensor:
        """Return one vector (B, D) for all tokens, computed once for all that read it.

        Args:
            kind: The class token (cls) or the mean of all tokens but padding (mean); None for the model's kind.
        """
        kind = kind or self._default_summary
        if kind not in self._summaries:
            self._summaries[kind] = self._summary(kind)
        return self._summaries[kind]

    def aligned(self, rows: int) -> StreamState:
        """Return the state in as many rows as a reader has: itself if it has them.

        With fewer rows than the reader, each is repeated for the frames of its sample. With more, the rows of a sample
        become one: its tokens are those of all frames, one frame after the other, its summary is the mean of theirs.

        Args:
            rows: Number of rows of the reader.
        """
        if rows == len(self.tokens):
            return self
        if rows not in self._aligned:
            self._aligned[rows] = (_Repeated if rows > len(self.tokens) else _Joined)(self, rows)
        return self._aligned[rows]

    def _summary(self, kind: SummaryKind) -> Tensor:
        return self._stream.summary(self.tokens, kind, self.mask)


class _Aligned(StreamState):
    """A state in the rows of a reader. Its tokens are computed once they are read, since most readers do not."""

    def __init__(self, state: StreamState, rows: int, frames: int) -> None:
        self.frames = frames
        self._state, self._rows = state, rows
        self._default_summary = state._default_summary
        self._summaries, self._aligned = {}, {}

    @cached_property
    def tokens(self) -> Tensor:  # type: ignore[override]
        return self._fit(self._state.tokens)

    @cached_property
    def mask(self) -> Tensor | None:  # type: ignore[override]
        return None if self._state.mask is None else self._fit(self._state.mask)

    @abstractmethod
    def _fit(self, tokens: Tensor) -> Tensor: ...


class _Repeated(_Aligned):
    """A state whose rows are repeated for the frames of their samples."""

    def __init__(self, state: StreamState, rows: int) -> None:
        super().__init__(state, rows, rows // len(state.tokens))

    def _fit(self, tokens: Tensor) -> Tensor:
        return tokens.repeat_interleave(self.frames, 0)

    def _summary(self, kind: SummaryKind) -> Tensor:
        return self._fit(self._state.summary(kind))


class _Joined(_Aligned):
    """A state in which the rows of a sample are one."""

    def __init__(self, state: StreamState, rows: int) -> None:
        super().__init__(state, rows, 1)

    def _fit(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(0, (self._rows, -1)).flatten(1, 2)

    def _summary(self, kind: SummaryKind) -> Tensor:
        return self._state.summary(kind).unflatten(0, (self._rows, -1)).mean(1)


class Exchange(nn.Module, ABC):
    """How the linears of streams use each other's tokens in one stage of their paired blocks.

    Attributes:
        paths: Pairs (source, target) of streams: the target reads the source.
        covers: The `Stream.default_evaluator` whose work its evaluators do themselves. For a stream with a different
            one they receive stand-ins for the linears, which return what that one computes. None covers none.
    """

    paths: frozenset[tuple[str, str]]
    covers: LinearEvaluator | None = None

    @abstractmethod
    def read(self, states: Mapping[str, StreamState]) -> Mapping[str, LinearEvaluator]:
        """Return an evaluator of linears for each target that this stage adapts, by the name of the stream.

        It is called in each forward pass at the start of its stage: once if all its targets have equally many rows, and
        otherwise once for each number of rows, unless `readings` is overridden. An evaluator is called several times:
        in the stage `attend` for the attention's q, k and v together, in `project` for o, and in `feed_forward` first
        for fc1 (and a gate, if there is one) and then for fc2, which has another input of another width.

        Args:
            states: The state of each source of `paths`, in as many rows as the targets have. If these have several
                numbers of rows, each call only serves those with one of them: other evaluators are dropped.

        Returns:
            A function `evaluator(linears, x)` for each target. `linears` are modules by role, such as q, k and v, and x
            is their common input (B, T, I), added tokens included. It returns their outputs as a list of tensors (B, T,
            O) in the order of `linears`: without an exchange, `[linear(x) for linear in linears.values()]`. It must
            call the modules rather than read their weights.
        """

    def readings(
        self, states: Mapping[str, StreamState], rows: Mapping[str, int]
    ) -> Iterator[tuple[Collection[str], Mapping[str, LinearEvaluator]]]:
        """Yield evaluators, and which targets they serve: those of other targets are dropped.

        An exchange that can serve targets with several numbers of rows together overrides it.

        Args:
            states: The state of each source of `paths`, in its own rows.
            rows: Number of rows of each target.
        """
        for count in dict.fromkeys(rows.values()):
            served = [target for target in rows if rows[target] == count]
            yield served, self.read({name: state.aligned(count) for name, state in states.items()})


class SublayerAdapter(nn.Module):
    """A module around one sublayer of one block of a stream: before it, beside it or after it.

    With the sublayer f, which contains its own norm, and its residual connection, the block computes

        x' = before(x)
        x'' = x' + after(x', f(x'))

    (in a post-norm block, the norm of that). A module beside the sublayer is an `after` that returns f(x') + g(x').
    Override one of the two methods, or both.

    Attributes:
        reads: Streams whose states the adapter reads, at the start of the sublayer. It may read its own stream in every
            block, for its mask or its frames, and other streams in paired blocks.
    """

    reads: frozenset[str] = frozenset()

    def before(self, x_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return the state (B, T, D) that the sublayer reads; unchanged by default.

        Args:
            x_BTD: The stream's state, added tokens included, after its own.
            states: The states of the streams in `reads`, before any adapter has changed them, in as many rows as x.
        """
        return x_BTD

    def after(self, x_BTD: Tensor, y_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return what is added to the state (B, T, D); by default the sublayer's own output.

        Args:
            x_BTD: What the sublayer read.
            y_BTD: What it returned, after the scale of its branch if the family has one.
            states: The states of the streams in `reads` at the start of the sublayer.
        """
        return y_BTD


class AddedTokens(nn.Module, ABC):
    """Tokens that a method adds to a stream: they follow its own tokens through the blocks, and are then dropped.

    Heads and other streams therefore see the stream's own tokens only, with `special`, mask and grid unchanged.

    Attributes:
        count: P, the number of tokens.
    """

    count: int

    @abstractmethod
    def forward(self, block: int, previous_BPD: Tensor | None) -> Tensor:
        """Return the tokens that enter a block, (P, D) for all samples or (B, P, D).

        Args:
            block: Number of the block.
            previous_BPD: The added tokens as the block before left them; None for the first block.
        """
