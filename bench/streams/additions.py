"""What a method can add to streams besides trained weights: exchanges between linears, adapters, and tokens.

Dimensions in names: B batch, T tokens, D width of the stream, P added tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, TypeAlias

from torch import Tensor, nn

from bench.streams.base import LinearEvaluator, Stream, SummaryKind

Sublayer: TypeAlias = Literal["attention", "feed_forward"]
"""The two parts of a block, each with a residual connection around it."""

SUBLAYERS: tuple[Sublayer, ...] = ("attention", "feed_forward")


class StreamState:
    """The tokens of one stream at one point of the lockstep, as other streams may read them.

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

    def summary(self, kind: SummaryKind | None = None) -> Tensor:
        """Return one vector (B, D) for all tokens, computed once for all that read it.

        Args:
            kind: The class token (cls) or the mean of all tokens but padding (mean); None for the model's kind.
        """
        kind = kind or self._default_summary
        if kind not in self._summaries:
            self._summaries[kind] = self._stream.summary(self.tokens, kind, self.mask)
        return self._summaries[kind]


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

        It is called once in each forward pass, at the start of its stage; an evaluator several times: in the stage
        `attend` for the attention's q, k and v together, in `project` for o, and in `feed_forward` first for fc1 (and
        a gate, if there is one) and then for fc2, which has another input of another width.

        Args:
            states: The state of each source of `paths`.

        Returns:
            A function `evaluator(linears, x)` for each target. `linears` are modules by role, such as q, k and v, and x
            is their common input (B, T, I), added tokens included. It returns their outputs as a list of tensors (B, T,
            O) in the order of `linears`: without an exchange, `[linear(x) for linear in linears.values()]`. It must
            call the modules rather than read their weights.
        """


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
            states: The states of the streams in `reads`, before any adapter has changed them.
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
