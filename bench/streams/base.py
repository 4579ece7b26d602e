"""A stream: one unimodal encoder, run stage by stage so that streams can exchange summaries between stages.

Dimensions in names: B batch, T tokens, D width of the stream, I and O input and output features of a linear.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor, nn

from bench.errors import BenchError
from bench.streams.inputs import Input

SummaryKind: TypeAlias = Literal["cls", "mean"]

LinearEvaluator: TypeAlias = Callable[[Mapping[str, nn.Module], Tensor], Sequence[Tensor]]
"""Evaluates the linears of a stage, by role, on their common input (B, T, I); returns their outputs (B, T, O)."""

STAGES = {"attend": ("q", "k", "v", "qkv"), "project": ("o",), "feed_forward": ("gate", "up", "fc1", "fc2")}
"""The linears of each stage of a block, by role. No family has all of them."""


class Stream(nn.Module, ABC):
    """A unimodal encoder as stages: embed; attend, project and feed forward for each block; finish.

    The stages call the encoder's own submodules and look them up at each call, so layers that an adapter library puts
    in their place are used. Stages keep no state: a cross-modal method's evaluator and the padding mask are arguments.
    Gradient checkpointing can therefore compute a stage a second time with the same result.

    Attributes:
        encoder: The transformers model.
        input: The form of the stream's input.
        width: Features of a token after the last block.
        depth: Number of blocks.
        input_type: The class of its inputs.
        special: Number of tokens before the patches or words (class token, distillation token, registers).
        grid: Rows and columns of patches of an input of the stream's own size; for images and sounds only.
        default_evaluator: Evaluates linears that read no other stream; None to call each one by itself. An exchange
            receives the linears as evaluated by it, unless the exchange does the same work itself (`Exchange.covers`).
    """

    input_type: ClassVar[type[Input]]
    special: int

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__()
        if not isinstance(input, self.input_type):
            raise BenchError(
                f"{type(encoder).__name__} needs an input of {self.input_type.kind}, not {type(input).__name__}"
            )
        self.encoder = encoder
        self.input = input
        self.width: int = encoder.config.hidden_size
        self.depth: int = encoder.config.num_hidden_layers
        self.default_evaluator: LinearEvaluator | None = None

    @property
    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of an input of the stream's own size."""

    @property
    def class_token(self) -> int | None:
        """Index of the token that the encoder was trained to summarize an input in.

        0 is the first token, -1 the last one that is not padding; None if there is no such token. By default, the first
        of the special tokens.
        """
        return 0 if self.special else None

    def width_at(self, block: int) -> int:
        """Return the features of a token from the input of a block to its end: `width` unless there are stages."""
        return self.width

    @abstractmethod
    def linears(self, block: int) -> dict[str, str]:
        """Return the path within the encoder of each linear of a block, by role (q, k, v, o, fc1, fc2)."""

    def all_linears(self) -> list[str]:
        """Return the paths within the encoder of the linears of all blocks."""
        return [path for block in range(self.depth) for path in self.linears(block).values()]

    @abstractmethod
    def features(self, block: int, role: str) -> tuple[int, int]:
        """Return the input and output features of a linear, whatever layer has been put in its place."""

    @abstractmethod
    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D), special ones first, of inputs normalized by `input.normalize`."""

    def mask(self, inputs: Tensor) -> Tensor | None:
        """Return which tokens of normalized inputs are not padding, (B, T); None if there is no padding."""
        return None

    @abstractmethod
    def attend(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, mask_BT: Tensor | None = None
    ) -> Tensor:
        """Return the attention output (B, T, D) before its output linear. No token attends to padding."""

    @abstractmethod
    def project(
        self, block: int, x_BTD: Tensor, context_BTD: Tensor, evaluator: LinearEvaluator | None = None
    ) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear and its residual."""

    @abstractmethod
    def feed_forward(self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None) -> Tensor:
        """Return the state (B, T, D) after the MLP and its residual, at the end of the block."""

    @abstractmethod
    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state (B, T, D) after the encoder's final norm."""

    def summary(self, x_BTD: Tensor, kind: SummaryKind, mask_BT: Tensor | None = None) -> Tensor:
        """Return one vector (B, D) for all tokens: the class token, or the mean of all tokens but padding.

        It is the mean, whichever kind is requested, for a stream without a class token.
        """
        return summarize(x_BTD, self.class_token if kind == "cls" else None, mask_BT)

    def run(self, blocks: Iterable[int], x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return the state (B, T, D) after whole blocks that exchange nothing with other streams."""
        for block in blocks:
            context_BTD = self.attend(block, x_BTD, mask_BT=mask_BT)
            x_BTD = self.project(block, x_BTD, context_BTD)
            x_BTD = self.feed_forward(block, x_BTD)
        return x_BTD

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the encoder by itself, from normalized inputs to its `last_hidden_state` (B, T, D)."""
        return self.finish(self.run(range(self.depth), self.embed(inputs), self.mask(inputs)))


def chain_evaluators(inner: LinearEvaluator, outer: LinearEvaluator) -> LinearEvaluator:
    """Return an evaluator that applies `outer` to linears whose outputs `inner` computes."""

    def evaluate(modules: Mapping[str, nn.Module], x_BTI: Tensor) -> Sequence[Tensor]:
        # By the id of the input, which stays valid as long as the input is stored with the outputs.
        computed: dict[int, tuple[Tensor, Sequence[Tensor]]] = {}

        def output(number: int, x_BTI: Tensor) -> Tensor:
            if id(x_BTI) not in computed:
                computed[id(x_BTI)] = x_BTI, inner(modules, x_BTI)
            return computed[id(x_BTI)][1][number]

        stand_ins = {role: _StandIn(partial(output, number)) for number, role in enumerate(modules)}
        return outer(stand_ins, x_BTI)

    return evaluate


class _StandIn(nn.Module):
    """A linear that a function evaluates. It has no weights, so that nothing can read them past the function."""

    def __init__(self, output: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.output = output

    def forward(self, x_BTI: Tensor) -> Tensor:
        return self.output(x_BTI)


def summarize(x_BTD: Tensor, class_token: int | None, mask_BT: Tensor | None = None) -> Tensor:
    """Return one vector (B, D) for all tokens (B, T, D); B may be several dimensions.

    Args:
        x_BTD: The tokens.
        class_token: `Stream.class_token`; None for the mean of all tokens but padding.
        mask_BT: Which tokens are not padding; None without padding, which may only follow the other tokens.
    """
    if class_token is None:
        return mean_token(x_BTD, mask_BT)
    if class_token == -1 and mask_BT is not None:
        last_B11 = (mask_BT.sum(-1) - 1)[..., None, None]
        return x_BTD.take_along_dim(last_B11, -2).squeeze(-2)
    return x_BTD[..., class_token, :]


def mean_token(x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """Return the mean (B, D) of all tokens (B, T, D), or of all but padding; B may be several dimensions."""
    if mask_BT is None:
        return x_BTD.mean(-2)
    real_BT1 = mask_BT[..., None].to(x_BTD.dtype)
    return (x_BTD * real_BT1).sum(-2) / real_BT1.sum(-2)
