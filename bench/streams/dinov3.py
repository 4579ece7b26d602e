"""DINOv3 as a stream: a pre-norm encoder with rotary position embeddings.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers.models.dinov3_vit.modeling_dinov3_vit import apply_rotary_pos_emb

from bench.streams.blocks import Layout, check_square
from bench.streams.inputs import Input
from bench.streams.prenorm import ATTENTION, GATED_MLP, VisionStream


class Dinov3Stream(VisionStream):
    """DINOv3's ViT (Siméoni et al., 2025), with a plain or a gated MLP: class token, registers, then patches.

    The checkpoints' configurations scale positions at random in training. This is switched off here (a deviation from
    the paper), for the same reason as BERT's dropout.
    """

    layouts = tuple(
        Layout("model.layer", ("norm1", "norm2"), ATTENTION | mlp, ("layer_scale1", "layer_scale2"), gated)
        for mlp, gated in ((GATED_MLP, True), ({"fc1": "mlp.up_proj", "fc2": "mlp.down_proj"}, False))
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        self.special = 1 + encoder.config.num_register_tokens
        for name in ("pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale"):
            setattr(encoder.config, name, None)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized square images (B, 3, side, side) of any size.

        Raises:
            BenchError: The images are not square.
        """
        check_square(inputs)
        return self.encoder.embeddings(inputs)

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.norm(x_BTD)

    def _rotated(self, block: int, q_BHTK: Tensor, k_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys rotated by the positions of their patches; all other tokens unchanged."""
        count = q_BHTK.shape[2] - self.added_count
        side = math.isqrt(count - self.special) * self.encoder.config.patch_size
        weight: Any = self.encoder.embeddings.patch_embeddings.weight
        image = weight.new_empty(()).expand(1, 1, side, side)  # only its shape, type and device are used
        positions = self.encoder.rope_embeddings(image)
        if not self.added_count:
            return apply_rotary_pos_emb(q_BHTK, k_BHTK, *positions)
        rotated = apply_rotary_pos_emb(q_BHTK[:, :, :count], k_BHTK[:, :, :count], *positions)
        added = q_BHTK[:, :, count:], k_BHTK[:, :, count:]
        q_BHTK, k_BHTK = (torch.cat(parts, dim=2) for parts in zip(rotated, added, strict=True))
        return q_BHTK, k_BHTK
