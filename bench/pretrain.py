"""Pretrains the embedded encoders: masked autoencoding (He et al., CVPR 2022) on the media of one modality, no labels.

The encoder sees the patches that are not masked; a small decoder, thrown away afterwards, predicts the others. What is
predicted are the patch's values normalised over the patch, as in the paper.

Dimensions in names: B batch, N patches, K patches kept, T tokens (special ones and patches), D width, V values a patch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ASTConfig, Dinov2Config
from transformers.utils import logging as transformers_logging

from bench.datasets.mini import unlabelled
from bench.datasets.mini.build import VERSION
from bench.progress import bar
from bench.streams.base import Stream
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import build_stream, save_stream


@dataclass(frozen=True)
class Pretraining:
    """How an encoder is pretrained.

    Attributes:
        modality: "vision" or "audio".
        steps: optimiser steps.
        masked: share of the patches that the encoder does not see.
        pool: pictures, or seconds of sound, that are generated to pretrain on.
        batch_size: pictures or seconds of one step.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW.
        warmup: share of the steps over which the learning rate rises; it falls as a half cosine after.
        decoder_depth: blocks of the decoder.
        seed: of the media, the weights and the masks.
    """

    modality: str
    steps: int
    masked: float
    pool: int = 24_000
    batch_size: int = 128
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    decoder_depth: int = 2
    seed: int = 0


RECIPES = {
    "vision": Pretraining("vision", steps=2500, masked=0.6),
    "audio": Pretraining("audio", steps=3000, masked=0.5),
}
WIDTH, DEPTH, HEADS = 64, 4, 4


def pretrain(recipe: Pretraining, folder: Path) -> Path:
    """Pretrains one encoder and writes it, with its card, into `folder`, in the form that transformers reads."""
    transformers_logging.disable_progress_bar()
    torch.manual_seed(recipe.seed)
    media = _pool(recipe)
    stream = _new_stream(recipe.modality, media)
    model = MaskedAutoencoder(stream, recipe.masked, recipe.decoder_depth)
    losses = _train(model, media, recipe)
    save_stream(stream, folder)
    card = {
        "what": f"{recipe.modality} encoder pretrained by masked autoencoding on generated media without labels",
        "paper": "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022",
        "command": f"bench pretrain {recipe.modality}",
        "recipe": asdict(recipe),
        "data": {
            "generator_version": VERSION,
            "style": "PRETRAINING",
            "sha256": sha256(media.numpy().tobytes()).hexdigest(),
        },
        "loss": {
            "first_100_steps": round(float(np.mean(losses[:100])), 4),
            "last_100_steps": round(float(np.mean(losses[-100:])), 4),
        },
        "parameters": sum(p.numel() for p in stream.encoder.parameters()),
        "sha256": sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "pillow")},
        "made": datetime.now(timezone.utc).date().isoformat(),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return folder


class MaskedAutoencoder(nn.Module):
    """A stream and a decoder that predicts the patches that the stream did not see."""

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

    def forward(self, inputs: Tensor) -> Tensor:
        """The mean squared error over the masked patches of normalised inputs (B, ...)."""
        special = self.stream.special
        tokens_BTD = self.stream.embed(inputs)
        batch, patches = tokens_BTD.shape[0], tokens_BTD.shape[1] - special
        kept = patches - int(self.masked * patches)
        order_BN = torch.rand(batch, patches, device=tokens_BTD.device).argsort(dim=1)
        kept_BK = order_BN[:, :kept]
        index = kept_BK[..., None].expand(-1, -1, tokens_BTD.shape[2])
        seen_BTD = torch.cat([tokens_BTD[:, :special], tokens_BTD[:, special:].gather(1, index)], dim=1)
        seen_BTD = self.stream.finish(self.stream.run(range(self.stream.depth), seen_BTD))
        full_BND = self.mask_token.expand(batch, patches, -1).scatter(1, index, seen_BTD[:, special:])
        decoded = self.decoder(torch.cat([seen_BTD[:, :special], full_BND + self.positions], dim=1))
        predicted_BNV = self.predict(decoded[:, special:])
        target_BNV = patch_values(self.stream, inputs)
        target_BNV = F.layer_norm(target_BNV, target_BNV.shape[-1:])
        error_BN = (predicted_BNV - target_BNV).square().mean(-1)
        hidden_BN = torch.ones_like(error_BN).scatter(1, kept_BK, 0.0)
        return (error_BN * hidden_BN).sum() / hidden_BN.sum()


def patch_values(stream: Stream, inputs: Tensor) -> Tensor:
    """The values of each patch of normalised inputs, in the order of the stream's tokens: (B, N, V)."""
    side = stream.encoder.config.patch_size
    if isinstance(stream.input, AudioInput):
        inputs = inputs.transpose(1, 2)[:, None]  # AST's patches run over frequency, then time
    rows, columns = stream.grid
    return F.unfold(inputs[..., : rows * side, : columns * side], side, stride=side).transpose(1, 2)


def _train(model: MaskedAutoencoder, media: Tensor, recipe: Pretraining) -> list[float]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)
    warm = int(recipe.warmup * recipe.steps)

    def rate(step: int) -> float:
        rest = (step - warm) / max(recipe.steps - warm, 1)
        return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * rest))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    losses = []
    for _ in bar(range(recipe.steps), f"pretraining {recipe.modality}"):
        batch = media[torch.randint(len(media), (recipe.batch_size,))]
        loss = model(model.stream.input.normalise(_augment(batch)))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def _augment(batch: Tensor) -> Tensor:
    """Pictures (uint8) mirrored and with their colour channels exchanged, spectrograms louder or softer, by chance."""
    if batch.dtype == torch.uint8:
        batch = batch[:, torch.randperm(3)]
        return batch.flip(-1) if torch.rand(()) < 0.5 else batch
    return batch.float() + torch.randn(len(batch), 1, 1)


def _new_stream(modality: str, media: Tensor) -> Stream:
    if modality == "vision":
        share = media[:2000].float() / 255
        mean, std = share.mean((0, 2, 3)), share.std((0, 2, 3))
        image = ImageInput(media.shape[-1], _rounded(mean), _rounded(std))
        return build_stream(
            Dinov2Config(
                hidden_size=WIDTH,
                num_hidden_layers=DEPTH,
                num_attention_heads=HEADS,
                image_size=image.size,
                patch_size=8,
                layerscale_value=1.0,
            ),
            image,
        ).requires_grad_(True)
    share = media[:2000].float()
    audio = AudioInput(
        16_000, media.shape[2], media.shape[1], round(float(share.mean()), 4), round(float(share.std()), 4)
    )
    config = ASTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        patch_size=32,
        frequency_stride=32,
        time_stride=32,
        max_length=audio.frames,
        num_mel_bins=audio.mel_bins,
    )
    return build_stream(config, audio).requires_grad_(True)


def _rounded(values: Tensor) -> Any:
    return tuple(round(float(value), 4) for value in values)


def _input_shape(spec: ImageInput | AudioInput) -> tuple[int, ...]:
    return (3, spec.size, spec.size) if isinstance(spec, ImageInput) else (spec.frames, spec.mel_bins)


def _pool(recipe: Pretraining) -> Tensor:
    make: Callable[[int], np.ndarray] = partial(_chunk, recipe.modality, recipe.seed)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        starts = range(0, recipe.pool, _CHUNK)
        chunks = list(bar(pool.map(make, starts), f"generating {recipe.modality}", total=len(starts)))
    return torch.from_numpy(np.concatenate(chunks))


_CHUNK = 500


def _chunk(modality: str, seed: int, start: int) -> np.ndarray:
    if modality == "vision":
        return unlabelled.pictures(seed, start, _CHUNK, size=56)
    return unlabelled.sounds(seed, start, _CHUNK, rate=16_000, bins=128, frames=98)
