"""A stream: one unimodal encoder, run stage by stage so that streams can exchange summaries on the way.

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
"""Evaluates linears of a stage, given by role, for their common input (B, T, I): returns their outputs (B, T, O)."""

STAGES = {"attend": ("q", "k", "v"), "project": ("o",), "feed_forward": ("gate", "up", "fc1", "fc2")}
"""The linears of each stage of a block, by role; a family has some of them."""


class Stream(nn.Module, ABC):
    """One unimodal encoder as stages: embed, then for each block attend, project, feed forward, then finish.

    The stages call the encoder's own submodules, looked up at each call, so that what an adapter library puts in their
    place is used. What a cross-modal method makes of the partners' summaries, and the mask that tells tokens from
    padding, are arguments of the stages, never state, and so are the same again when gradient checkpointing computes a
    stage a second time.

    Attributes:
        encoder: the model of transformers.
        input: what the stream reads.
        width: features of a token at the end.
        depth: number of blocks.
        reads: the kind of input.
        special: number of tokens before the patches or words (class token, distillation token, registers).
        grid: rows and columns of patches of an input of the stream's own size; of pictures and sounds only.
        default_evaluator: evaluates linears that read no other stream; None to call each one by itself. An exchange
            receives the linears as evaluated by it, unless the exchange does the same work itself (`Exchange.covers`).
    """

    reads: ClassVar[type[Input]]
    special: int

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__()
        if not isinstance(input, self.reads):
            raise BenchError(
                f"{type(encoder).__name__} reads {self.reads.what}, not what {type(input).__name__} describes"
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

    def width_at(self, block: int) -> int:
        """Return the features of a token from a block's input on to its end: `width`, unless the encoder has stages."""
        return self.width

    @abstractmethod
    def linears(self, block: int) -> dict[str, str]:
        """Return the path within the encoder of each linear of a block, by its role (q, k, v, o, fc1, fc2)."""

    def all_linears(self) -> list[str]:
        """Return the paths within the encoder of the linears of all blocks."""
        return [path for block in range(self.depth) for path in self.linears(block).values()]

    @abstractmethod
    def features(self, block: int, role: str) -> tuple[int, int]:
        """Return the input and output features of a linear, whatever has been put in its place."""

    @abstractmethod
    def embed(self, inputs: Tensor) -> Tensor:
        """Return tokens (B, T, D), special ones first, of normalised inputs (as `input.normalise` gives them)."""

    def mask(self, inputs: Tensor) -> Tensor | None:
        """Return where the tokens of normalised inputs are real, not padding, (B, T); None without any padding."""
        return None

    @abstractmethod
    def attend(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, mask_BT: Tensor | None = None
    ) -> Tensor:
        """Return the attention output (B, T, D) before its output linear; no token attends to padding."""

    @abstractmethod
    def project(
        self, block: int, x_BTD: Tensor, context_BTD: Tensor, evaluator: LinearEvaluator | None = None
    ) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear and residual."""

    @abstractmethod
    def feed_forward(self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None) -> Tensor:
        """Return the state (B, T, D) after the MLP and its residual: the end of the block."""

    @abstractmethod
    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""

    def summary(self, x_BTD: Tensor, kind: SummaryKind, mask_BT: Tensor | None = None) -> Tensor:
        """Return one vector (B, D) for all tokens: the class token, or the mean of every token but padding."""
        return x_BTD[:, 0] if kind == "cls" else mean_token(x_BTD, mask_BT)

    def run(self, blocks: Iterable[int], x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Run whole blocks without exchanging anything."""
        for block in blocks:
            context_BTD = self.attend(block, x_BTD, mask_BT=mask_BT)
            x_BTD = self.project(block, x_BTD, context_BTD)
            x_BTD = self.feed_forward(block, x_BTD)
        return x_BTD

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the encoder alone, from normalised inputs to its own `last_hidden_state`."""
        return self.finish(self.run(range(self.depth), self.embed(inputs), self.mask(inputs)))

    def apply_linears(
        self, block: int, roles: Sequence[str], x_BTI: Tensor, evaluator: LinearEvaluator | None
    ) -> Sequence[Tensor]:
        """Evaluate the linears of a block that share an input, inter-modal terms included.

        This is the only place where a stream's linears are called.

        Args:
            block: number of the block.
            roles: which linears.
            x_BTI: their common input.
            evaluator: how a cross-modal method evaluates the linears of this stage; None for `default_evaluator`.

        Returns:
            Their outputs (B, T, O), in the order of `roles`.
        """
        paths = self.linears(block)
        modules = {role: self.encoder.get_submodule(paths[role]) for role in roles}
        evaluate = evaluator or self.default_evaluator
        return evaluate(modules, x_BTI) if evaluate else [module(x_BTI) for module in modules.values()]


def over(inner: LinearEvaluator, outer: LinearEvaluator) -> LinearEvaluator:
    """Return an evaluator that has `outer` evaluate linears, each of which gives what `inner` makes of it."""

    def evaluate(modules: Mapping[str, nn.Module], x_BTI: Tensor) -> Sequence[Tensor]:
        computed: dict[int, tuple[Tensor, Sequence[Tensor]]] = {}  # by the input, which is kept so that its id stays

        def output(number: int, x_BTI: Tensor) -> Tensor:
            if id(x_BTI) not in computed:
                computed[id(x_BTI)] = x_BTI, inner(modules, x_BTI)
            return computed[id(x_BTI)][1][number]

        stand_ins = {role: _StandIn(partial(output, number)) for number, role in enumerate(modules)}
        return outer(stand_ins, x_BTI)

    return evaluate


class _StandIn(nn.Module):
    """A linear that is evaluated by a function; it has no weights to be read past that function."""

    def __init__(self, output: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.output = output

    def forward(self, x_BTI: Tensor) -> Tensor:
        return self.output(x_BTI)


def mean_token(x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """The mean (B, D) of every token (B, T, D), or of every one but padding."""
    if mask_BT is None:
        return x_BTD.mean(1)
    real_BT1 = mask_BT[..., None].to(x_BTD.dtype)
    return (x_BTD * real_BT1).sum(1) / real_BT1.sum(1)
