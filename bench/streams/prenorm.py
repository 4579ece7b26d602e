"""Pre-norm transformer encoders of transformers as streams: ViT, DINOv2, AST.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head, I input features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from bench.errors import BenchError
from bench.streams.base import Partners, Stream
from bench.streams.inputs import AudioInput, ImageInput


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


_ATTENTION = {role: f"attention.{role}_proj" for role in ("q", "k", "v", "o")}
_MLP = {"fc1": "mlp.fc1", "fc2": "mlp.fc2"}
_SWIGLU = {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "fc2": "mlp.down_proj"}
# DINOv2 up to transformers 5.17; later versions name it as _ATTENTION and _SWIGLU do.
_OLD_ATTENTION = {
    "q": "attention.attention.query",
    "k": "attention.attention.key",
    "v": "attention.attention.value",
    "o": "attention.output.dense",
}
_OLD_SWIGLU = {"fc1": "mlp.weights_in", "fc2": "mlp.weights_out"}


class PreNormStream(Stream):
    """An encoder whose blocks are `x += attention(norm(x)); x += mlp(norm(x))`."""

    layouts: ClassVar[tuple[Layout, ...]]

    def __init__(self, encoder: Any, input: ImageInput | AudioInput) -> None:
        super().__init__(encoder, input)
        config = encoder.config
        _refuse_dropout(config)
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

    def attend(self, block: int, x_BTD: Tensor, partners: Partners | None = None) -> Tensor:
        """Return the attention output (B, T, D) before its output linear."""
        h_BTD = self._part(block, self.layout.norms[0])(x_BTD)
        q_BHTK, k_BHTK, v_BHTK = (
            y_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y_BTD in self.apply_linears(block, ("q", "k", "v"), h_BTD, partners)
        )
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK).transpose(1, 2).flatten(2)

    def project(self, block: int, x_BTD: Tensor, context_BTD: Tensor, partners: Partners | None = None) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear and residual."""
        (y_BTD,) = self.apply_linears(block, ("o",), context_BTD, partners)
        return x_BTD + self._scale(block, 0, y_BTD)

    def feed_forward(self, block: int, x_BTD: Tensor, partners: Partners | None = None) -> Tensor:
        """Return the state (B, T, D) after the MLP and its residual: the end of the block."""
        h_BTD = self._part(block, self.layout.norms[1])(x_BTD)
        roles = [role for role in ("gate", "up", "fc1") if role in self.layout.linears]
        hidden = self.apply_linears(block, roles, h_BTD, partners)
        if self.layout.gated:
            gate, up = hidden if len(hidden) == 2 else hidden[0].chunk(2, dim=-1)
            h_BTI = F.silu(gate) * up
        else:
            h_BTI = self.activation(hidden[0])
        (y_BTD,) = self.apply_linears(block, ("fc2",), h_BTI, partners)
        return x_BTD + self._scale(block, 1, y_BTD)

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.layernorm(x_BTD)

    def _part(self, block: int, path: str) -> nn.Module:
        return self.encoder.get_submodule(f"{self.layout.blocks}.{block}.{path}")

    def _scale(self, block: int, branch: int, y_BTD: Tensor) -> Tensor:
        return self._part(block, self.layout.scales[branch])(y_BTD) if self.layout.scales else y_BTD


class VisionStream(PreNormStream):
    """What ViT and DINOv2 share: square patches and one class token."""

    special = 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of an image of the stream's own size."""
        assert isinstance(self.input, ImageInput)
        side = self.input.size // self.encoder.config.patch_size
        return side, side


class ViTStream(VisionStream):
    """ViT (Dosovitskiy et al., 2021)."""

    layouts = (Layout("layers", ("layernorm_before", "layernorm_after"), _ATTENTION | _MLP),)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return tokens (B, T, D) of normalised images (B, 3, height, width); positions are interpolated if need be."""
        return self.encoder.embeddings(inputs, interpolate_pos_encoding=True)


class Dinov2Stream(VisionStream):
    """DINOv2 (Oquab et al., 2024), with a plain or a SwiGLU MLP."""

    layouts = tuple(
        Layout("encoder.layer", ("norm1", "norm2"), attention | mlp, ("layer_scale1", "layer_scale2"), gated)
        for attention in (_ATTENTION, _OLD_ATTENTION)
        for mlp, gated in ((_MLP, False), (_SWIGLU, True), (_OLD_SWIGLU, True))
    )

    def embed(self, inputs: Tensor) -> Tensor:
        """Return tokens (B, T, D) of normalised images (B, 3, height, width); positions are interpolated if need be."""
        return self.encoder.embeddings(inputs)


class ASTStream(PreNormStream):
    """Audio Spectrogram Transformer (Gong et al., 2021): class and distillation token, then patches by frequency."""

    special = 2
    layouts = ViTStream.layouts

    @property
    def grid(self) -> tuple[int, int]:
        """Rows (frequency) and columns (time) of patches of a spectrogram of the stream's own size."""
        assert isinstance(self.input, AudioInput)
        return self._grid(self.input.frames)

    def _grid(self, frames: int) -> tuple[int, int]:
        config = self.encoder.config
        rows = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        return rows, (frames - config.patch_size) // config.time_stride + 1

    def embed(self, inputs: Tensor) -> Tensor:
        """Return tokens (B, T, D) of normalised spectrograms (B, frames, mel_bins) of any length.

        The encoder's own embeddings take its `max_length` frames only: here positions are interpolated over time.
        """
        embeddings = self.encoder.embeddings
        patches_BTD = embeddings.patch_embeddings(inputs)
        special = [token.expand(len(inputs), -1, -1) for token in (embeddings.cls_token, embeddings.distillation_token)]
        return torch.cat([*special, patches_BTD], dim=1) + self._positions(inputs.shape[1])

    def _positions(self, frames: int) -> Tensor:
        position = self.encoder.embeddings.position_embeddings
        stored, wanted = self._grid(self.encoder.config.max_length), self._grid(frames)
        if stored == wanted:
            return position
        special, patches = position[:, : self.special], position[:, self.special :]
        patches = patches.transpose(1, 2).unflatten(2, stored)
        patches = F.interpolate(patches, size=wanted, mode="bilinear", align_corners=False)
        return torch.cat([special, patches.flatten(2).transpose(1, 2)], dim=1)


def _refuse_dropout(config: Any) -> None:
    """Pretrained encoders come without dropout; the stages have none, and say so rather than drop it silently."""
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate"):
        if value := getattr(config, name, 0.0):
            raise BenchError(f"a stream runs its encoder without dropout, but {name} is {value}: set it to 0")


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
