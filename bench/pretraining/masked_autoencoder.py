"""Masked autoencoding (He et al., CVPR 2022) of a small encoder of images or sounds.

The encoder reads the patches that are not masked. A small decoder, discarded afterwards, predicts the values of the
others, normalized over each patch as in the paper.

Dimensions in names: B batch, N patches, K visible patches, T tokens (special ones and patches), D width, V values of a
patch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ASTConfig, Dinov2Config

from bench.streams.base import Stream
from bench.streams.inputs import AudioInput, ImageInput, Input
from bench.streams.load import build_stream


def new_patch_stream(modality: str, media: Tensor, width: int, depth: int, heads: int) -> Stream:
    """Return a DINOv2 for images or an AST for spectrograms, with random weights and the statistics of its media.

    Args:
        modality: "vision" or "audio".
        media: Images (n, 3, size, size), uint8, or spectrograms (n, frames, bins).
        width: Features of a token.
        depth: Number of blocks.
        heads: Attention heads.
    """
    if modality == "vision":
        sample = media[:2000].float() / 255
        mean, std = sample.mean((0, 2, 3)), sample.std((0, 2, 3))
        image = ImageInput(media.shape[-1], _rounded(mean), _rounded(std))
        return build_stream(
            Dinov2Config(
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                image_size=image.size,
                patch_size=8,
                layerscale_value=1.0,
            ),
            image,
        ).requires_grad_(True)
    sample = media[:2000].float()
    audio = AudioInput(
        16_000, media.shape[2], media.shape[1], round(float(sample.mean()), 4), round(float(sample.std()), 4)
    )
    config = ASTConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        patch_size=32,
        frequency_stride=32,
        time_stride=32,
        max_length=audio.frames,
        num_mel_bins=audio.mel_bins,
    )
    return build_stream(config, audio).requires_grad_(True)


def _rounded(values: Tensor) -> Any:
    return tuple(round(float(value), 4) for value in values)


def _input_shape(spec: Input) -> tuple[int, ...]:
    if isinstance(spec, ImageInput):
        return (3, spec.size, spec.size)
    assert isinstance(spec, AudioInput), "texts have no patches"
    return (spec.frames, spec.mel_bins)


class MaskedAutoencoder(nn.Module):
    """A stream, and a decoder that predicts the patches masked from it."""

    def __init__(self, stream: Stream, masked: float, decoder_depth: int) -> None:
        super().__init__()
        self.stream = stream
        self.masked = masked
        patches = stream.grid[0] * stream.grid[1]
        values = patch_values(stream, torch.zeros(1, *_input_shape(stream.input))).shape[-1]
        width = stream.width
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.randn(patches, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerEncoder(layer, decoder_depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.predict = nn.Linear(width, values)

    def prepare(self, batch: Tensor) -> Tensor:
        """Return a batch of the pool, augmented and normalized."""
        return self.stream.input.normalize(_augment(batch))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the mean squared error over the masked patches of normalized inputs (B, ...)."""
        special = self.stream.special
        tokens_BTD = self.stream.embed(inputs)
        batch, patches = tokens_BTD.shape[0], tokens_BTD.shape[1] - special
        visible = patches - int(self.masked * patches)
        order_BN = torch.rand(batch, patches, device=tokens_BTD.device).argsort(dim=1)
        visible_BK = order_BN[:, :visible]
        index = visible_BK[..., None].expand(-1, -1, tokens_BTD.shape[2])
        visible_BTD = torch.cat([tokens_BTD[:, :special], tokens_BTD[:, special:].gather(1, index)], dim=1)
        visible_BTD = self.stream.finish(self.stream.run(range(self.stream.depth), visible_BTD))
        full_BND = self.mask_token.expand(batch, patches, -1).scatter(1, index, visible_BTD[:, special:])
        decoded = self.decoder(torch.cat([visible_BTD[:, :special], full_BND + self.positions], dim=1))
        predicted_BNV = self.predict(decoded[:, special:])
        target_BNV = patch_values(self.stream, inputs)
        target_BNV = F.layer_norm(target_BNV, target_BNV.shape[-1:])
        error_BN = (predicted_BNV - target_BNV).square().mean(-1)
        masked_BN = torch.ones_like(error_BN).scatter(1, visible_BK, 0.0)
        return (error_BN * masked_BN).sum() / masked_BN.sum()


def patch_values(stream: Stream, inputs: Tensor) -> Tensor:
    """Return the values of each patch of normalized inputs, (B, N, V), in the order of the stream's tokens."""
    side = stream.encoder.config.patch_size
    if isinstance(stream.input, AudioInput):
        inputs = inputs.transpose(1, 2)[:, None]  # AST's patches run over frequency, then time
    rows, columns = stream.grid
    return F.unfold(inputs[..., : rows * side, : columns * side], side, stride=side).transpose(1, 2)


def _augment(batch: Tensor) -> Tensor:
    """Return images (uint8) mirrored and with permuted channels, or spectrograms of random loudness."""
    if batch.dtype == torch.uint8:
        batch = batch[:, torch.randperm(3)]
        return batch.flip(-1) if torch.rand(()) < 0.5 else batch
    return batch.float() + torch.randn(len(batch), 1, 1)
