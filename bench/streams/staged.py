"""Staged encoders of transformers as streams, whose tokens become fewer and wider: Swin Transformer V2.

Dimensions in names: B batch, T tokens, D width of the stage, H heads, K features of a head, W windows of an image, N
tokens of a window, h and w rows and columns.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from transformers.models.swinv2.modeling_swinv2 import window_partition, window_reverse

from bench.errors import BenchError
from bench.streams.base import Branch, LinearEvaluator
from bench.streams.blocks import BERT_LINEARS, BlockStream, Layout, check_square, switch_off_dropout
from bench.streams.inputs import ImageInput, Input


class Swinv2Stream(BlockStream):
    """Swin Transformer V2 (Liu et al., CVPR 2022), with blocks `x += norm(attention(x)); x += norm(mlp(x))`.

    Tokens attend within windows, which every second block shifts. At the end of the last block of each stage but the
    last, four tokens are merged into one. There is no class token: the summary is the mean of all tokens, whichever
    kind is requested.

    It runs without drop path, in training too: the checkpoints' configurations have some, which is switched off here (a
    deviation from the paper), for the same reason as BERT's dropout.
    """

    input_type = ImageInput
    special = 0
    norm_place = "within"
    accepts_added_tokens = False  # tokens attend within windows of the image
    layouts = (Layout("encoder.layers", ("layernorm_before", "layernorm_after"), BERT_LINEARS),)

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream from a SwinV2 encoder.

        Args:
            encoder: The transformers model.
            input: The form of its images.

        Raises:
            BenchError: The encoder embeds absolute positions, which no released one does.
        """
        super().__init__(encoder, input)
        if encoder.config.use_absolute_embeddings:
            raise BenchError("SwinV2 streams support no absolute positions: set use_absolute_embeddings to false")
        switch_off_dropout(encoder)
        self.stages = [stage for stage, depth in enumerate(encoder.config.depths) for _ in range(depth)]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens that remain after all merging, for an image of the stream's own size."""
        assert isinstance(self.input, ImageInput)
        side = math.ceil(self.input.size / self.encoder.config.patch_size)
        for _ in range(self.stages[-1]):
            side = math.ceil(side / 2)
        return side, side

    def width_at(self, block: int) -> int:
        """Return the features of a token in a block, before the merging at its end."""
        return self.encoder.config.embed_dim * 2 ** self.stages[block]

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized square images (B, 3, side, side) of any size.

        Raises:
            BenchError: The images are not square.
        """
        check_square(inputs)
        x_BTD, _ = self.encoder.embeddings(inputs)
        return x_BTD

    def attend(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, mask_BT: Tensor | None = None
    ) -> Tensor:
        """Return the attention output (B, T, D) before its output linear."""
        layer: Any = self.encoder.get_submodule(self.blocks[block])
        attention = layer.attention.self
        side = math.isqrt(x_BTD.shape[1])
        q_BWHNK, k_BWHNK, v_BWHNK = (
            y_BTD.unflatten(1, (-1, layer.window_size**2))
            .unflatten(3, (attention.num_attention_heads, -1))
            .transpose(2, 3)
            for y_BTD in self.apply_linears(block, ("q", "k", "v"), _split(layer, x_BTD, side), evaluator)
        )
        q_BWHNK = F.normalize(q_BWHNK, dim=-1) * attention.logit_scale.clamp(max=math.log(100)).exp()
        k_BWHNK = F.normalize(k_BWHNK, dim=-1)
        # Each window has its own bias, so windows are treated as heads.
        q, k, v, bias = q_BWHNK.flatten(1, 2), k_BWHNK.flatten(1, 2), v_BWHNK.flatten(1, 2), _bias(layer, side)
        context = F.scaled_dot_product_attention(q, k, v, bias.flatten(0, 1), scale=1.0)
        context = context.unflatten(1, (-1, attention.num_attention_heads)).transpose(2, 3).flatten(3)
        return _join(layer, context, side)

    def feed_forward(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, branch: Branch | None = None
    ) -> Tensor:
        """Return the state (B, T, D) after the MLP, norm and residual.

        At the end of each stage but the last, tokens are merged: (B, T / 4, 2 D).
        """
        x_BTD = super().feed_forward(block, x_BTD, evaluator, branch)
        if block + 1 == self.depth or self.stages[block] == self.stages[block + 1]:
            return x_BTD
        side = math.isqrt(x_BTD.shape[1])
        return self.encoder.get_submodule(f"encoder.layers.{self.stages[block]}.downsample")(x_BTD, (side, side))

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.layernorm(x_BTD)

    @classmethod
    def _paths(cls, config: Any, blocks: str) -> list[str]:
        """Return the path within the encoder of every block of every stage."""
        return [f"{blocks}.{stage}.blocks.{n}" for stage, depth in enumerate(config.depths) for n in range(depth)]


def _split(layer: Any, x_BTD: Tensor, side: int) -> Tensor:
    """Return the tokens of a square image by window, (B, W N, D), zero-padded to whole windows and shifted."""
    x_BhwD, _ = layer.maybe_pad(x_BTD.unflatten(1, (side, side)), side, side)
    if layer.shift_size:
        x_BhwD = x_BhwD.roll((-layer.shift_size, -layer.shift_size), dims=(1, 2))
    return window_partition(x_BhwD, layer.window_size).reshape(len(x_BTD), -1, x_BTD.shape[2])


def _join(layer: Any, x_BWND: Tensor, side: int) -> Tensor:
    """Return the tokens (B, T, D) of a square image from its windows: the inverse of `_split`."""
    padded_side = _padded_side(layer, side)
    windows = x_BWND.reshape(-1, layer.window_size, layer.window_size, x_BWND.shape[3])
    x_BhwD = window_reverse(windows, layer.window_size, padded_side, padded_side)
    if layer.shift_size:
        x_BhwD = x_BhwD.roll((layer.shift_size, layer.shift_size), dims=(1, 2))
    return x_BhwD[:, :side, :side].flatten(1, 2)


def _bias(layer: Any, side: int) -> Tensor:
    """Return the attention bias of each window, (W, H, N, N).

    It is the continuous relative position bias, plus a large negative value between tokens that are neighbors only
    because of the shift.
    """
    attention, padded_side = layer.attention.self, _padded_side(layer, side)
    table = attention.continuous_position_bias_mlp(attention.relative_coords_table).flatten(0, 2)
    position_HNN = 16 * table[attention.relative_position_index].sigmoid().permute(2, 0, 1)
    with position_HNN.device:
        shift_WNN = layer.get_attn_mask(padded_side, padded_side, position_HNN.dtype)
    if shift_WNN is None:
        return position_HNN.expand((padded_side // layer.window_size) ** 2, -1, -1, -1)
    return position_HNN + 2 * shift_WNN[:, None]  # twice, as in transformers


def _padded_side(layer: Any, side: int) -> int:
    """Return the side in tokens of an image that is padded to whole windows."""
    return math.ceil(side / layer.window_size) * layer.window_size
