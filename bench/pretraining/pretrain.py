"""Pretraining of the embedded encoders on unlabeled media of one modality.

Vision and audio by masked autoencoding, text by masked language modeling.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from bench.datasets.mini import VERSION, unlabelled
from bench.datasets.mini.sound import RATE
from bench.pretraining.masked_autoencoder import MaskedAutoencoder, new_patch_stream
from bench.pretraining.masked_language_model import MaskedLanguageModel, new_text_stream
from bench.progress import bar
from bench.streams.inputs.log_mel import log_mel
from bench.streams.load import save_stream
from bench.system.child_processes import process_pool
from bench.system.cpus import available_cpus


@dataclass(frozen=True)
class Pretraining:
    """How an encoder is pretrained.

    Attributes:
        modality: "vision", "audio" or "text".
        steps: Optimizer steps.
        masked: Fraction of the patches that are hidden from the encoder, or of the tokens that it predicts.
        pool: Number of generated images, seconds of sound, or texts.
        batch_size: Images, seconds or texts of one step.
        lr: Peak learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        warmup: Fraction of the steps over which the learning rate rises; then it falls as a half cosine.
        decoder_depth: Blocks of the decoder; text has none.
        seed: Seed of the media, the weights and the masks.
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
    "vision": Pretraining("vision", steps=4000, masked=0.6),
    "audio": Pretraining("audio", steps=3000, masked=0.5),
    "text": Pretraining("text", steps=4000, masked=0.2, batch_size=64, decoder_depth=0),
}
WIDTH, DEPTH, HEADS = 64, 4, 4
HELD_OUT = 2000  # texts after the pool, on which the accuracy is measured
_METHODS = {
    "vision": ("masked autoencoding", "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022"),
    "audio": ("masked autoencoding", "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022"),
    "text": (
        "masked language modelling",
        "Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for ..., NAACL 2019",
    ),
}


def pretrain(recipe: Pretraining, folder: Path) -> Path:
    """Pretrain one encoder and write it, with its card, into a folder that transformers can read.

    Args:
        recipe: How to pretrain.
        folder: Existing folder to write into.

    Returns:
        The folder.
    """
    transformers_logging.disable_progress_bar()
    torch.manual_seed(recipe.seed)
    method, paper = _METHODS[recipe.modality]
    measured: dict[str, Any] = {}
    if recipe.modality == "text":
        stream, text_input = new_text_stream(folder, WIDTH, DEPTH, HEADS)
        portions, checksum = _generate(recipe, recipe.pool + HELD_OUT)
        texts = [text for portion in portions for text in portion]
        ids = torch.from_numpy(text_input.encode(texts))
        media, held_out = ids[: recipe.pool], ids[recipe.pool :][:HELD_OUT]
        language_model = MaskedLanguageModel(stream, recipe.masked)
        losses = _train(language_model, media, recipe)
        measured["held_out"] = {"texts": HELD_OUT, "masked_tokens_right": round(language_model.accuracy(held_out), 4)}
    else:
        portions, checksum = _generate(recipe, recipe.pool)
        media = torch.from_numpy(np.concatenate(portions))
        stream = new_patch_stream(recipe.modality, media, WIDTH, DEPTH, HEADS)
        losses = _train(MaskedAutoencoder(stream, recipe.masked, recipe.decoder_depth), media, recipe)
    save_stream(stream, folder)
    card = {
        "what": f"{recipe.modality} encoder pretrained by {method} on generated media without labels",
        "paper": paper,
        "command": f"bench pretrain {recipe.modality}",
        "recipe": asdict(recipe),
        "data": {
            "generator_version": VERSION,
            "style": "PRETRAINING",
            "sha256": checksum,
        },
        "loss": {
            "first_100_steps": round(float(np.mean(losses[:100])), 4),
            "last_100_steps": round(float(np.mean(losses[-100:])), 4),
        },
        **measured,
        "parameters": sum(p.numel() for p in stream.encoder.parameters()),
        "sha256": sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "pillow")},
        "made": datetime.now(timezone.utc).date().isoformat(),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return folder


def _train(model: MaskedAutoencoder | MaskedLanguageModel, media: Tensor, recipe: Pretraining) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)
    warm = int(recipe.warmup * recipe.steps)

    def rate(step: int) -> float:
        progress = (step - warm) / max(recipe.steps - warm, 1)
        return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * progress))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses = []
    for _ in bar(range(recipe.steps), f"pretraining {recipe.modality}"):
        batch = media[torch.randint(len(media), (recipe.batch_size,))]
        loss = model(model.prepare(batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def _generate(recipe: Pretraining, count: int) -> tuple[list[Any], str]:
    """Return the media in chunks of `_CHUNK`, the last of which may exceed `count`, and a checksum.

    The checksum is that of images, waveforms and texts: spectrograms are products of matrices, whose last digits differ
    between machines.
    """
    make: Callable[[int], tuple[Any, str]] = partial(_chunk, recipe.modality, recipe.seed)
    with process_pool(available_cpus()) as pool:
        starts = range(0, count, _CHUNK)
        chunks = list(bar(pool.map(make, starts), f"generating {recipe.modality}", total=len(starts)))
    return [portion for portion, _ in chunks], sha256("".join(checksum for _, checksum in chunks).encode()).hexdigest()


_CHUNK = 500


def _chunk(modality: str, seed: int, start: int) -> tuple[np.ndarray | list[str], str]:
    if modality == "text":
        texts = unlabelled.texts(seed, start, _CHUNK)
        return texts, sha256("\n".join(texts).encode()).hexdigest()
    if modality == "vision":
        pictures = unlabelled.pictures(seed, start, _CHUNK, size=48)
        return pictures, sha256(pictures.tobytes()).hexdigest()
    waves = unlabelled.sounds(seed, start, _CHUNK)
    return log_mel(waves, RATE, bins=128, frames=98).astype(np.float16), sha256(waves.tobytes()).hexdigest()
