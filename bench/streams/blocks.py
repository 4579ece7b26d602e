"""What transformer encoders of any form share: where their parts lie, the attention and the MLP.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head, I features between the MLP's linears.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from bench.errors import BenchError
from bench.streams.base import LinearEvaluator, Stream
from bench.streams.inputs import Input


@dataclass(frozen=True)
class Layout:
    """Where one family, in one naming of transformers', keeps the submodules of a block.

    Attributes:
        blocks: path of the list of blocks within the encoder.
        norms: of the attention and of the MLP, within the block, as are the rest.
        linears: by role. An MLP with a gate has roles `gate` and `up`, or an `fc1` that holds both.
        scales: of the two residual branches, where the family scales them.
        gated: whether the MLP has a gate.
    """

    blocks: str
    norms: tuple[str, str]
    linears: dict[str, str]
    scales: tuple[str, str] | None = None
    gated: bool = False


BERT_LINEARS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
"""The linears as BERT's blocks name them, and others after them."""


class BlockStream(Stream):
    """An encoder whose blocks are an attention and an MLP; where the norms stand is for the subclasses to say."""

    layouts: ClassVar[tuple[Layout, ...]]

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        self.layout, self.blocks = _find_layout(encoder, self.layouts, self._paths)
        self.depth = len(self.blocks)
        self.activation = ACT2FN[encoder.config.hidden_act]
        # Taken while the linears are plain: an adapter library may wrap them.
        self._features = {
            path: (linear.in_features, linear.out_features)
            for block in range(self.depth)
            for path in self.linears(block).values()
            for linear in [_linear(encoder, path)]
        }

    def linears(self, block: int) -> dict[str, str]:
        """Return the path within the encoder of each linear of a block, by its role."""
        return {role: f"{self.blocks[block]}.{path}" for role, path in self.layout.linears.items()}

    def features(self, block: int, role: str) -> tuple[int, int]:
        """Return the input and output features of a linear, whatever has been put in its place."""
        return self._features[self.linears(block)[role]]

    def _attention(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None, mask_BT: Tensor | None
    ) -> Tensor:
        """Return what the tokens gather from each other, from padding nothing, before the output linear."""
        heads = self.encoder.config.num_attention_heads
        q_BHTK, k_BHTK, v_BHTK = (
            y_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)
            for y_BTD in self.apply_linears(block, ("q", "k", "v"), x_BTD, evaluator)
        )
        q_BHTK, k_BHTK = self._rotated(q_BHTK, k_BHTK)
        mask_B11T = None if mask_BT is None else mask_BT[:, None, None]
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, mask_B11T).transpose(1, 2).flatten(2)

    def _rotated(self, q_BHTK: Tensor, k_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys rotated by where their tokens lie; as they are where positions are embedded."""
        return q_BHTK, k_BHTK

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

    def _norm(self, block: int, which: int, x_BTD: Tensor) -> Tensor:
        return self._part(block, self.layout.norms[which])(x_BTD)

    def _part(self, block: int, path: str) -> nn.Module:
        return self.encoder.get_submodule(f"{self.blocks[block]}.{path}")

    @classmethod
    def _paths(cls, config: Any, blocks: str) -> list[str]:
        """Return the path of every block within the encoder, where its layout says that the blocks lie."""
        return [f"{blocks}.{number}" for number in range(config.num_hidden_layers)]


def check_square(images: Tensor) -> None:
    """Refuse images (B, 3, height, width) that are not square, for streams that tell places by the number of tokens.

    Raises:
        BenchError: they are not.
    """
    height, width = images.shape[-2:]
    if height != width:
        raise BenchError(f"images of {height} x {width} pixels: this stream reads square ones")


def switch_off_dropout(encoder: Any) -> None:
    """Set to 0 every dropout and drop path of an encoder whose checkpoints come with some, in its configuration too."""
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate"):
        if hasattr(encoder.config, name):
            setattr(encoder.config, name, 0.0)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):
            module.drop_prob = 0.0


def _find_layout(
    encoder: Any, layouts: tuple[Layout, ...], paths: Callable[[Any, str], list[str]]
) -> tuple[Layout, list[str]]:
    """Return the layout whose every part the encoder has in every block, and the paths of the blocks."""
    names = {name for name, _ in encoder.named_modules()}
    for layout in layouts:
        blocks = paths(encoder.config, layout.blocks)
        parts = [*layout.norms, *layout.linears.values(), *(layout.scales or ())]
        if names.issuperset(f"{block}.{part}" for block in blocks for part in parts):
            return layout, blocks
    raise BenchError(
        f"transformers {transformers.__version__} builds or names the blocks of {type(encoder).__name__} in a way "
        f"that is not known here; versions 5.17 to 5.23 are. Looked for {', '.join(layouts[0].linears.values())} in "
        f"{paths(encoder.config, layouts[0].blocks)[0]}"
    )


def _linear(encoder: Any, path: str) -> nn.Linear:
    module = encoder.get_submodule(path)
    if not isinstance(module, nn.Linear):
        raise BenchError(f"{path} of {type(encoder).__name__} is a {type(module).__name__}, not a plain linear")
    return module
