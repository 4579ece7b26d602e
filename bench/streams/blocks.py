"""What the pre-norm and the post-norm transformer encoders share: where their parts lie, the attention and the MLP.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head, I features between the MLP's linears.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from bench.errors import BenchError
from bench.streams.base import Cross, Stream
from bench.streams.inputs import Input


@dataclass(frozen=True)
class Layout:
    """Where one family, in one naming of transformers', keeps the submodules of a block.

    Attributes:
        blocks: path of the list of blocks within the encoder.
        norms: of the attention and of the MLP, within the block, as are the rest.
        linears: by role. An MLP with a gate has roles `gate` and `up`, or an `fc1` that holds both.
        scales: of the two residual branches, where the family scales them.
        gated: whether the MLP is a SwiGLU.
    """

    blocks: str
    norms: tuple[str, str]
    linears: dict[str, str]
    scales: tuple[str, str] | None = None
    gated: bool = False


class BlockStream(Stream):
    """An encoder whose blocks are an attention and an MLP; where the norms stand is for the subclasses to say."""

    layouts: ClassVar[tuple[Layout, ...]]

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        config = encoder.config
        self.layout = _find_layout(encoder, self.layouts)
        self.heads: int = config.num_attention_heads
        self.activation = ACT2FN[config.hidden_act]
        # Taken while the linears are plain: an adapter library may wrap them.
        self._features = {
            path: (linear.in_features, linear.out_features)
            for block in range(self.depth)
            for path in self.linears(block).values()
            for linear in [_linear(encoder, path)]
        }

    def linears(self, block: int) -> dict[str, str]:
        """Return the path within the encoder of each linear of a block, by its role."""
        return {role: f"{self.layout.blocks}.{block}.{path}" for role, path in self.layout.linears.items()}

    def features(self, block: int, role: str) -> tuple[int, int]:
        """Return the input and output features of a linear, whatever has been put in its place."""
        return self._features[self.linears(block)[role]]

    def _attention(self, block: int, x_BTD: Tensor, cross: Cross | None, mask_BT: Tensor | None) -> Tensor:
        """Return what the tokens gather from each other, from padding nothing, before the output linear."""
        q_BHTK, k_BHTK, v_BHTK = (
            y_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y_BTD in self.apply_linears(block, ("q", "k", "v"), x_BTD, cross)
        )
        mask_B11T = None if mask_BT is None else mask_BT[:, None, None]
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, mask_B11T).transpose(1, 2).flatten(2)

    def _mlp(self, block: int, x_BTD: Tensor, cross: Cross | None) -> Tensor:
        roles = [role for role in ("gate", "up", "fc1") if role in self.layout.linears]
        hidden = self.apply_linears(block, roles, x_BTD, cross)
        if self.layout.gated:
            gate, up = hidden if len(hidden) == 2 else hidden[0].chunk(2, dim=-1)
            h_BTI = F.silu(gate) * up
        else:
            h_BTI = self.activation(hidden[0])
        (y_BTD,) = self.apply_linears(block, ("fc2",), h_BTI, cross)
        return y_BTD

    def _norm(self, block: int, which: int, x_BTD: Tensor) -> Tensor:
        return self._part(block, self.layout.norms[which])(x_BTD)

    def _part(self, block: int, path: str) -> nn.Module:
        return self.encoder.get_submodule(f"{self.layout.blocks}.{block}.{path}")


def _find_layout(encoder: Any, layouts: tuple[Layout, ...]) -> Layout:
    """Return the layout whose every path the encoder has in every block."""
    names = {name for name, _ in encoder.named_modules()}
    blocks = range(encoder.config.num_hidden_layers)
    for layout in layouts:
        paths = [*layout.norms, *layout.linears.values(), *(layout.scales or ())]
        if names.issuperset(f"{layout.blocks}.{block}.{path}" for block in blocks for path in paths):
            return layout
    raise BenchError(
        f"transformers {transformers.__version__} builds or names the blocks of {type(encoder).__name__} in a way "
        f"that is not known here; versions 5.17 to 5.23 are. Looked for {layouts[0].blocks}.0 with "
        f"{', '.join(layouts[0].linears.values())}"
    )


def _linear(encoder: Any, path: str) -> nn.Linear:
    module = encoder.get_submodule(path)
    if not isinstance(module, nn.Linear):
        raise BenchError(f"{path} of {type(encoder).__name__} is a {type(module).__name__}, not a plain linear")
    return module
