"""Folders of tiny encoders with random weights, in transformers' format, like those that a user downloads."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ASTConfig, BertConfig, BertTokenizer, Dinov2Config, Swinv2Config

from bench.streams.inputs import AudioInput, ImageInput, TextInput
from bench.streams.load import build_stream, save_stream

IMAGE = ImageInput(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
AUDIO = AudioInput(sample_rate=16000, mel_bins=128, frames=1024, mean=-4.0, std=4.5)
SIZE = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "left", "right", "red", "blue", "disc", "square"]


def write_encoders(folder: Path) -> dict[str, Path]:
    """By `vision`, `staged`, `audio` and `text`."""
    places = {name: folder / name for name in ("vision", "staged", "audio", "text", "words")}
    BertTokenizer({word: number for number, word in enumerate(WORDS)}).save_pretrained(places["words"])
    sound = {"patch_size": 16, "frequency_stride": 32, "time_stride": 32, "num_mel_bins": 128, "max_length": 1024}
    swin = {"image_size": 192, "patch_size": 16, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2]}
    streams = {
        "vision": (Dinov2Config(image_size=224, patch_size=56, mlp_ratio=2, **SIZE), IMAGE),
        "staged": (Swinv2Config(window_size=3, mlp_ratio=2.0, **swin), ImageInput(192, IMAGE.mean, IMAGE.std)),
        "audio": (ASTConfig(intermediate_size=32, **sound, **SIZE), AUDIO),
        "text": (BertConfig(vocab_size=len(WORDS), intermediate_size=32, **SIZE), TextInput(str(places["words"]))),
    }
    torch.manual_seed(0)
    for name, (config, input) in streams.items():
        save_stream(build_stream(config, input), places[name])
    return places
