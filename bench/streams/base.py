"""A stream: one unimodal encoder, run stage by stage so that streams can exchange summaries between stages.

Dimensions in names: B batch, T tokens, D width of the stream, I and O input and output features of a linear.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import BenchError
from bench.streams.inputs import Input
from bench.streams.returned import check_shape

SummaryKind: TypeAlias = Literal["cls", "mean"]

LinearEvaluator: TypeAlias = Callable[[Mapping[str, nn.Module], Tensor], Sequence[Tensor]]
"""Evaluates the linears of a stage, by role, on their common input (B, T, I); returns their outputs (B, T, O)."""

Branch: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps the state x (B, T, D) and the output (B, T, D) of a sublayer that read it to what is added to x."""


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
        accepts_added_tokens: Whether a method may add tokens that follow the stream's own through the blocks.
        added: The modules that add tokens (`bench.streams.additions.AddedTokens`).
    """

    input_type: ClassVar[type[Input]]
    accepts_added_tokens: ClassVar[bool] = False
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
        self.added: Any = nn.ModuleList()  # of AddedTokens, which import this module

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
        """Return the path within the encoder of each linear of a block, by role (q, k, v, o, fc1, fc2).

        `stream.encoder.get_submodule(path)` is the linear.
        """

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
        self,
        block: int,
        x_BTD: Tensor,
        context_BTD: Tensor,
        evaluator: LinearEvaluator | None = None,
        branch: Branch | None = None,
    ) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear and its residual.

        Args:
            block: Number of the block.
            x_BTD: The state before the attention.
            context_BTD: What `attend` returned.
            evaluator: How a cross-modal method evaluates the linear; None for `default_evaluator`.
            branch: Adapters around the attention: replaces what is added to `x_BTD`.
        """

    @abstractmethod
    def feed_forward(
        self,
        block: int,
        x_BTD: Tensor,
        evaluator: LinearEvaluator | None = None,
        branch: Branch | None = None,
    ) -> Tensor:
        """Return the state (B, T, D) after the MLP and its residual, at the end of the block.

        Args:
            block: Number of the block.
            x_BTD: The state before the MLP.
            evaluator: How a cross-modal method evaluates the linears; None for `default_evaluator`.
            branch: Adapters around the MLP: replaces what is added to `x_BTD`.
        """

    @abstractmethod
    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state (B, T, D) after the encoder's final norm."""

    def summary(self, x_BTD: Tensor, kind: SummaryKind, mask_BT: Tensor | None = None) -> Tensor:
        """Return one vector (B, D) for all tokens: the class token, or the mean of all tokens but padding.

        It is the mean, whichever kind is requested, for a stream without a class token.
        """
        return summarize(x_BTD, self.class_token if kind == "cls" else None, mask_BT)

    @property
    def added_count(self) -> int:
        """Number of tokens that methods have added: they follow the stream's own through the blocks."""
        return sum(module.count for module in self.added)

    def with_added(self, block: int, x_BTD: Tensor) -> Tensor:
        """Return the tokens that enter a block: the stream's own, then those that methods have added.

        Args:
            block: Number of the block.
            x_BTD: The state after the block before, added tokens included; for the first block, what `embed` returned.

        Raises:
            BenchError: A method's module returned another number of tokens than its `count`, or of another width.
        """
        if not self.added:
            return x_BTD
        own_BTD = x_BTD if block == 0 else self.without_added(x_BTD)
        parts, start = [own_BTD], own_BTD.shape[1]
        for module in self.added:
            tokens = module(block, None if block == 0 else x_BTD[:, start : start + module.count])
            shape = (module.count, x_BTD.shape[2])
            check_shape(module, "forward", tokens, shape, (1, *shape), (len(x_BTD), *shape))
            parts.append(tokens.to(x_BTD.dtype).expand(len(x_BTD), -1, -1))
            start += module.count
        return torch.cat(parts, dim=1)

    def without_added(self, x_BTD: Tensor) -> Tensor:
        """Return the stream's own tokens of a state after a block."""
        return x_BTD[:, : x_BTD.shape[1] - self.added_count] if self.added else x_BTD

    def mask_with_added(self, mask_BT: Tensor) -> Tensor:
        """Return the mask of a state with added tokens, none of which is padding."""
        return F.pad(mask_BT, (0, self.added_count), value=True)

    def run(self, blocks: Iterable[int], x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return the state (B, T, D) after whole blocks that exchange nothing with other streams.

        Args:
            blocks: Numbers of the blocks.
            x_BTD: The state before them.
            mask_BT: Which of the stream's own tokens are not padding.
        """
        mask_BT = None if mask_BT is None else self.mask_with_added(mask_BT)
        for block in blocks:
            x_BTD = self.with_added(block, x_BTD)
            context_BTD = self.attend(block, x_BTD, mask_BT=mask_BT)
            x_BTD = self.project(block, x_BTD, context_BTD)
            x_BTD = self.feed_forward(block, x_BTD)
        return x_BTD

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the encoder by itself, from normalized inputs to its `last_hidden_state` (B, T, D)."""
        x_BTD = self.run(range(self.depth), self.embed(inputs), self.mask(inputs))
        return self.finish(self.without_added(x_BTD))


def add_branch(x_BTD: Tensor, y_BTD: Tensor, branch: Branch | None) -> Tensor:
    """Return a state with the output of a sublayer added, through the adapters around the sublayer if it has any."""
    return x_BTD + (branch(x_BTD, y_BTD) if branch else y_BTD)


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
