"""Pre-norm transformer encoders of transformers as streams: ViT, DeiT, DINOv2, AST.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import BenchError
from bench.streams.blocks import Layout, PreNormStream
from bench.streams.inputs import AudioInput, ImageInput, Input

ATTENTION = {role: f"attention.{role}_proj" for role in ("q", "k", "v", "o")}
_MLP = {"fc1": "mlp.fc1", "fc2": "mlp.fc2"}
GATED_MLP = {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "fc2": "mlp.down_proj"}
# DINOv2 up to transformers 5.17; later versions use the names of ATTENTION and GATED_MLP.
_OLD_ATTENTION = {
    "q": "attention.attention.query",
    "k": "attention.attention.key",
    "v": "attention.attention.value",
    "o": "attention.output.dense",
}
_OLD_SWIGLU = {"fc1": "mlp.weights_in", "fc2": "mlp.weights_out"}


class VisionStream(PreNormStream):
    """An image encoder with square patches, and a class token unless `special` is 0."""

    input_type = ImageInput
    special = 1

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream from an image encoder.

        Args:
            encoder: The transformers model.
            input: The form of its images.

        Raises:
            BenchError: The patches do not divide the images, which would lose pixels at two edges.
        """
        super().__init__(encoder, input)
        assert isinstance(input, ImageInput)
        patch = encoder.config.patch_size
        if excess := input.size % patch:
            smaller = input.size - excess
            sizes = f"{smaller} or {smaller + patch}" if smaller else f"{patch}"
            raise BenchError(
                f"images of {input.size} x {input.size} pixels are not made of whole patches of {patch} x {patch}: "
                f"set a multiple of {patch} as their size, such as {sizes}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of an image of the stream's own size."""
        assert isinstance(self.input, ImageInput)
        side = self.input.size // self.encoder.config.patch_size
        return side, side


class ViTStream(VisionStream):
    """ViT (Dosovitskiy et al., 2021)."""

    layouts = (Layout("layers", ("layernorm_before", "layernorm_after"), ATTENTION | _MLP),)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized images (B, 3, height, width), interpolating positions if needed."""
        return self.encoder.embeddings(inputs, interpolate_pos_encoding=True)


class DeiTStream(ViTStream):
    """DeiT (Touvron et al., ICML 2021): ViT with a distillation token after the class token."""

    special = 2


class Dinov2Stream(VisionStream):
    """DINOv2 (Oquab et al., 2024), with a plain or a SwiGLU MLP."""

    layouts = tuple(
        Layout("encoder.layer", ("norm1", "norm2"), attention | mlp, ("layer_scale1", "layer_scale2"), gated)
        for attention in (ATTENTION, _OLD_ATTENTION)
        for mlp, gated in ((_MLP, False), (GATED_MLP, True), (_OLD_SWIGLU, True))
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        if self.layout.gated:
            self.activation = nn.SiLU()  # the configuration may name another, which the encoder ignores

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized images (B, 3, height, width), interpolating positions if needed."""
        return self.encoder.embeddings(inputs)


class Dinov2RegistersStream(Dinov2Stream):
    """DINOv2 with registers (Darcet et al., ICLR 2024): class token, registers, then patches."""

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        self.special = 1 + encoder.config.num_register_tokens


class ASTStream(PreNormStream):
    """Audio Spectrogram Transformer (Gong et al., 2021): class and distillation token, then patches by frequency."""

    input_type = AudioInput
    special = 2
    layouts = ViTStream.layouts

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        assert isinstance(input, AudioInput)
        if min(self.grid) < 1:
            raise BenchError(
                f"{input.frames} frames of sound are fewer than the {encoder.config.patch_size} of a patch of "
                f"{type(encoder).__name__}: set more frames"
            )

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
        """Return the tokens (B, T, D) of normalized spectrograms (B, frames, mel_bins) of any length.

        The encoder's own embeddings accept `max_length` frames only, so positions are interpolated over time here.
        """
        embeddings = self.encoder.embeddings
        patches_BTD = embeddings.patch_embeddings(inputs)
        special = [token.expand(len(inputs), -1, -1) for token in (embeddings.cls_token, embeddings.distillation_token)]
        return torch.cat([*special, patches_BTD], dim=1) + self._positions(inputs.shape[1])

    def _positions(self, frames: int) -> Tensor:
        position = self.encoder.embeddings.position_embeddings
        stored_grid, grid = self._grid(self.encoder.config.max_length), self._grid(frames)
        if stored_grid == grid:
            return position
        special, patches = position[:, : self.special], position[:, self.special :]
        patches = patches.transpose(1, 2).unflatten(2, stored_grid)
        patches = F.interpolate(patches, size=grid, mode="bilinear", align_corners=False)
        return torch.cat([special, patches.flatten(2).transpose(1, 2)], dim=1)
