"""Checkpoints as on the hub: tiny models with heads or with both towers, with random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    HubertConfig,
    HubertForCTC,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from bench.streams.inputs import ImageInput, Input, TextInput, WaveformInput, WhisperInput

IMAGE = ImageInput(size=16, mean=(0.5,) * 3, std=(0.25,) * 3)
SIZE = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24}
VISION = {**SIZE, "image_size": 16, "patch_size": 8}
TEXT = {**SIZE, "vocab_size": 20, "max_position_embeddings": 40, "pad_token_id": 0}
WAVES = {
    "conv_dim": (12, 10),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
INPUTS: Mapping[str, Input] = {
    "whisper": WhisperInput(sample_rate=1000, mel_bins=12, frames=100, hop=10, fft_size=25),
    "wav2vec2": WaveformInput(sample_rate=1000),
    "hubert": WaveformInput(sample_rate=1000),
}
TOWERS = {"vision_config": VISION, "text_config": TEXT}

BOTH = {"images": "vision_model.", "text": "text_model."}

WHOLE: Mapping[str, tuple[type[PreTrainedModel], Any, Mapping[str, str]]] = {
    "clip": (CLIPModel, CLIPConfig(**TOWERS, projection_dim=8), BOTH),
    "siglip": (SiglipModel, SiglipConfig(**TOWERS), BOTH),
    "siglip2": (
        Siglip2Model,
        Siglip2Config(vision_config={**SIZE, "patch_size": 8, "num_patches": 4}, text_config=TEXT),
        BOTH,
    ),
    "distilbert": (
        DistilBertForMaskedLM,
        DistilBertConfig(vocab_size=20, dim=16, n_heads=2, n_layers=2, hidden_dim=24),
        {"text": ""},
    ),
    "modernbert": (
        ModernBertForMaskedLM,
        ModernBertConfig(**TEXT, **dict.fromkeys(("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"), 2)),
        {"text": ""},
    ),
    "whisper": (
        WhisperForConditionalGeneration,
        WhisperConfig(
            vocab_size=20,
            num_mel_bins=12,
            d_model=16,
            encoder_attention_heads=2,
            encoder_layers=2,
            encoder_ffn_dim=24,
            decoder_attention_heads=2,
            decoder_layers=1,
            decoder_ffn_dim=24,
            max_source_positions=50,
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 2),
        ),
        {"sounds": "model.encoder."},
    ),
    "wav2vec2": (
        Wav2Vec2ForCTC,
        Wav2Vec2Config(**SIZE, **WAVES, vocab_size=20),
        {"sounds": "wav2vec2."},
    ),
    "hubert": (HubertForCTC, HubertConfig(**SIZE, **WAVES, vocab_size=20), {"sounds": "hubert."}),
    "vit_mae": (
        ViTMAEForPreTraining,
        ViTMAEConfig(**VISION, decoder_hidden_size=8, decoder_num_attention_heads=1, decoder_num_hidden_layers=1),
        {"images": "vit."},
    ),
}
"""A model with heads or with both towers, as checkpoints on the hub are, its configuration, and the prefix of the
weights of the encoder for each kind of input."""


def save_whole(family: str, folder: Path, input: Input) -> PreTrainedModel:
    """Save a whole model as on the hub, with the processor's file and a tokenizer for texts."""
    model, config, _ = WHOLE[family]
    torch.manual_seed(0)
    saved = model(config).eval()
    saved.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(input.to_preprocessor()))
    if isinstance(input, TextInput):
        input.save_tokenizer(folder)
    return saved
