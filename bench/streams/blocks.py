"""Transformer blocks as stages: an attention and an MLP, with their norms before them or after them.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head, I hidden features of the MLP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from bench.errors import BenchError
from bench.streams.base import Branch, LinearEvaluator, Stream, add_branch
from bench.streams.inputs import Input
from bench.streams.roles import STAGES


@dataclass(frozen=True)
class Layout:
    """The paths of the submodules of a block, for one family and one version of its names in transformers.

    Attributes:
        blocks: Path of the list of blocks within the encoder.
        norms: Paths of the norms of the attention and of the MLP, within the block, like all that follow.
        linears: Paths of the linears by role. An MLP with a gate has the roles `gate` and `up`, or an `fc1` that
            contains both. An attention has the roles `q`, `k` and `v`, or a `qkv` that contains all three.
        scales: Paths of the scales of the two residual branches, if the family has any.
        gated: Whether the MLP has a gate.
    """

    blocks: str
    norms: tuple[str, str]
    linears: dict[str, str]
    scales: tuple[str, str] | None = None
    gated: bool = False


_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "drop_path_rate", "dropout"),
    *("hidden_dropout", "activation_dropout", "embedding_dropout", "mlp_dropout", "feat_proj_dropout"),
    *("layerdrop", "encoder_layerdrop"),
)
"""The settings of configurations for the dropout, drop path and layer drop of an encoder."""

BERT_LINEARS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
"""The names of the linears in BERT's blocks, which other families have adopted."""


class BlockStream(Stream):
    """An encoder whose blocks are an attention and an MLP, each with a norm and a residual.

    Attributes:
        layouts: The names of its submodules in different versions of transformers.
        activation_setting: The setting of its configuration that names the MLP's activation function.
        norm_place: Where the norm of each part f stands: before, `x += f(norm(x))`; within, `x += norm(f(x))`; or
            after, `x = norm(x + f(x))`.
    """

    layouts: ClassVar[tuple[Layout, ...]]
    activation_setting: ClassVar[str] = "hidden_act"
    norm_place: Literal["before", "within", "after"] = "before"
    accepts_added_tokens = True

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        self.layout, self.blocks = _find_layout(encoder, self.layouts, self._paths)
        self.depth = len(self.blocks)
        self.activation = ACT2FN[getattr(encoder.config, self.activation_setting)]
        # Read now, while the linears are plain: an adapter library may wrap them later.
        self._features = {
            path: (linear.in_features, linear.out_features)
            for block in range(self.depth)
            for path in self.linears(block).values()
            for linear in [_linear(encoder, path)]
        }

    def linears(self, block: int) -> dict[str, str]:
        """Return the path within the encoder of each linear of a block, by role."""
        return {role: f"{self.blocks[block]}.{path}" for role, path in self.layout.linears.items()}

    def features(self, block: int, role: str) -> tuple[int, int]:
        """Return the input and output features of a linear, whatever layer has been put in its place."""
        return self._features[f"{self.blocks[block]}.{self.layout.linears[role]}"]

    def apply_linears(
        self, block: int, roles: Sequence[str], x_BTI: Tensor, evaluator: LinearEvaluator | None
    ) -> Sequence[Tensor]:
        """Evaluate linears of a block that share an input, inter-modal terms included.

        This is the only place where a stream's linears are called.

        Args:
            block: Number of the block.
            roles: The linears to evaluate.
            x_BTI: Their common input (B, T, I).
            evaluator: How a cross-modal method evaluates the linears of this stage; None for `default_evaluator`.

        Returns:
            Their outputs (B, T, O), in the order of `roles`.
        """
        paths = self.linears(block)
        modules = {role: self.encoder.get_submodule(paths[role]) for role in roles}
        evaluate = evaluator or self.default_evaluator
        return evaluate(modules, x_BTI) if evaluate else [module(x_BTI) for module in modules.values()]

    def attend(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, mask_BT: Tensor | None = None
    ) -> Tensor:
        """Return the attention output (B, T, D) before its output linear."""
        return self._attention(block, self._read(block, 0, x_BTD), evaluator, mask_BT)

    def project(
        self,
        block: int,
        x_BTD: Tensor,
        context_BTD: Tensor,
        evaluator: LinearEvaluator | None = None,
        branch: Branch | None = None,
    ) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear, its residual, and a norm that follows."""
        (y_BTD,) = self.apply_linears(block, ("o",), context_BTD, evaluator)
        return self._joined(block, 0, x_BTD, y_BTD, branch)

    def feed_forward(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, branch: Branch | None = None
    ) -> Tensor:
        """Return the state (B, T, D) after the MLP, its residual, and a norm that follows: the end of the block."""
        return self._joined(block, 1, x_BTD, self._mlp(block, self._read(block, 1, x_BTD), evaluator), branch)

    def _read(self, block: int, part: int, x_BTD: Tensor) -> Tensor:
        """Return what the attention (part 0) or the MLP (1) of a block reads."""
        return self._norm(block, part, x_BTD) if self.norm_place == "before" else x_BTD

    def _joined(self, block: int, part: int, x_BTD: Tensor, y_BTD: Tensor, branch: Branch | None) -> Tensor:
        """Return the state with the output of the attention (part 0) or the MLP (1) of a block."""
        if self.norm_place == "within":
            y_BTD = self._norm(block, part, y_BTD)
        x_BTD = add_branch(x_BTD, self._scale(block, part, y_BTD), branch)
        return self._norm(block, part, x_BTD) if self.norm_place == "after" else x_BTD

    def _attention(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None, mask_BT: Tensor | None
    ) -> Tensor:
        """Return the attention (B, T, D) before the output linear. No token attends to padding."""
        heads = self.encoder.config.num_attention_heads
        roles = [role for role in STAGES["attend"] if role in self.layout.linears]
        outputs = self.apply_linears(block, roles, x_BTD, evaluator)
        q_BHTK, k_BHTK, v_BHTK = (
            y_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)
            for y_BTD in (outputs if len(outputs) == 3 else outputs[0].chunk(3, dim=-1))
        )
        q_BHTK, k_BHTK = self._rotated(block, q_BHTK, k_BHTK)
        bias = self._attention_bias(block, q_BHTK, mask_BT)
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, bias).transpose(1, 2).flatten(2)

    def _rotated(self, block: int, q_BHTK: Tensor, k_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys rotated by the positions of their tokens; unchanged by default."""
        return q_BHTK, k_BHTK

    def _attention_bias(self, block: int, q_BHTK: Tensor, mask_BT: Tensor | None) -> Tensor | None:
        """Return which tokens attend to which (boolean), or what is added to their scores (float).

        Args:
            block: Number of the block.
            q_BHTK: The queries, for the number of tokens, the type and the device.
            mask_BT: Which tokens are not padding; None without padding.

        Returns:
            A tensor that can be broadcast to (B, H, T, T), or None if every token attends to every token. By default,
            every token attends to all tokens but padding.
        """
        return None if mask_BT is None else mask_BT[:, None, None]

    def _mlp(self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None) -> Tensor:
        roles = [role for role in ("gate", "up", "fc1") if role in self.layout.linears]
        hidden = self.apply_linears(block, roles, x_BTD, evaluator)
        if self.layout.gated:
            gate, up = hidden if len(hidden) == 2 else hidden[0].chunk(2, dim=-1)
            h_BTI = self.activation(gate) * up
        else:
            h_BTI = self.activation(hidden[0])
        (y_BTD,) = self.apply_linears(block, ("fc2",), h_BTI, evaluator)
        return y_BTD

    def _norm(self, block: int, part: int, x_BTD: Tensor) -> Tensor:
        return self._part(block, self.layout.norms[part])(x_BTD)

    def _scale(self, block: int, part: int, y_BTD: Tensor) -> Tensor:
        return self._part(block, self.layout.scales[part])(y_BTD) if self.layout.scales else y_BTD

    def _part(self, block: int, path: str) -> nn.Module:
        return self.encoder.get_submodule(f"{self.blocks[block]}.{path}")

    @classmethod
    def _paths(cls, config: Any, blocks: str) -> list[str]:
        """Return the path of every block within the encoder, given the path of the list of blocks."""
        return [f"{blocks}.{number}" for number in range(config.num_hidden_layers)]


class PreNormStream(BlockStream):
    """An encoder whose blocks are `x += attention(norm(x)); x += mlp(norm(x))`."""

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        _refuse_dropout(encoder.config)

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.layernorm(x_BTD)


class PostNormStream(BlockStream):
    """An encoder whose blocks are `x = norm(x + attention(x)); x = norm(x + mlp(x))`."""

    norm_place = "after"

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state unchanged: every block ends with a norm, and none follows the last block."""
        return x_BTD


def check_square(images: Tensor) -> None:
    """Check that images (B, 3, height, width) are square, for streams that infer the grid from the token count.

    Raises:
        BenchError: They are not square.
    """
    height, width = images.shape[-2:]
    if height != width:
        raise BenchError(f"this stream reads square images, but these have {height} x {width} pixels")


def switch_off_dropout(encoder: Any) -> None:
    """Set every dropout and drop-path rate of an encoder to 0, in its modules and its configuration."""
    for name in _DROPOUTS:
        if hasattr(encoder.config, name):
            setattr(encoder.config, name, 0.0)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):
            module.drop_prob = 0.0


def _refuse_dropout(config: Any) -> None:
    """Raise if an encoder has dropout, since the stages of its family have none.

    Raises:
        BenchError: A dropout or drop-path rate is not 0.
    """
    for name in _DROPOUTS:
        if value := getattr(config, name, 0.0):
            raise BenchError(f"streams run encoders without dropout, but {name} is {value}: set it to 0")


def _find_layout(
    encoder: Any, layouts: tuple[Layout, ...], paths: Callable[[Any, str], list[str]]
) -> tuple[Layout, list[str]]:
    """Return the layout whose submodules the encoder has in every block, and the paths of the blocks."""
    names = {name for name, _ in encoder.named_modules()}
    for layout in layouts:
        blocks = paths(encoder.config, layout.blocks)
        parts = [*layout.norms, *layout.linears.values(), *(layout.scales or ())]
        if names.issuperset(f"{block}.{part}" for block in blocks for part in parts):
            return layout, blocks
    raise BenchError(
        f"the blocks of {type(encoder).__name__} in transformers {transformers.__version__} have an unknown structure; "
        f"install a version from 5.17 to 5.23. Expected {', '.join(layouts[0].linears.values())} in "
        f"{paths(encoder.config, layouts[0].blocks)[0]}"
    )


def _linear(encoder: Any, path: str) -> nn.Linear:
    module = encoder.get_submodule(path)
    if not isinstance(module, nn.Linear):
        raise BenchError(f"{path} of {type(encoder).__name__} must be a plain nn.Linear, not {type(module).__name__}")
    return module
