"""Families of sound encoders beside AST, compared with the encoders' own forward."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_families import Family, check_added_tokens, check_gradients
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from bench.errors import BenchError
from bench.streams.inputs import WaveformInput, WhisperInput
from bench.streams.wav2vec2 import Wav2Vec2Stream
from bench.streams.whisper import WhisperStream

MELS = WhisperInput(sample_rate=16000, mel_bins=12, frames=20)


def whisper() -> WhisperEncoder:
    sizes = {"d_model": 24, "encoder_attention_heads": 3, "encoder_layers": 3, "encoder_ffn_dim": 40}
    return WhisperEncoder(WhisperConfig(num_mel_bins=12, max_source_positions=10, decoder_layers=1, **sizes))


def whisper_forward(encoder: Any, inputs: Tensor) -> Tensor:
    return encoder(inputs.transpose(1, 2)).last_hidden_state


WAVES = WaveformInput(sample_rate=1000, window_s=0.2)


def wav2vec2(family: str, **values: Any) -> Any:
    """Return a tiny wav2vec 2.0 or HuBERT: the base form, unless values say differently."""
    config, model = {"wav2vec2": (Wav2Vec2Config, Wav2Vec2Model), "hubert": (HubertConfig, HubertModel)}[family]
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 3, "intermediate_size": 40}
    convolutions = {"conv_dim": (12, 10), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    encoder = model(config(**{**sizes, **convolutions, **positions, **values}))
    for module in encoder.modules():
        if type(module).__name__.endswith("Attention"):
            module.dropout = 0.0  # a number that the encoder's own forward uses, and no stream
    return encoder


def wav2vec2_forward(encoder: Any, inputs: Tensor) -> Tensor:
    return encoder(inputs).last_hidden_state


LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}

FAMILIES = {
    "whisper": Family(WhisperStream, whisper, whisper_forward, MELS),
    "wav2vec2": Family(Wav2Vec2Stream, lambda: wav2vec2("wav2vec2"), wav2vec2_forward, WAVES),
    "wav2vec2-large": Family(Wav2Vec2Stream, lambda: wav2vec2("wav2vec2", **LARGE), wav2vec2_forward, WAVES),
    "hubert": Family(Wav2Vec2Stream, lambda: wav2vec2("hubert", feat_proj_layer_norm=False), wav2vec2_forward, WAVES),
    "hubert-large": Family(Wav2Vec2Stream, lambda: wav2vec2("hubert", **LARGE), wav2vec2_forward, WAVES),
}
SHAPES = {"whisper": (20, 12), **dict.fromkeys(("wav2vec2", "wav2vec2-large", "hubert", "hubert-large"), (200,))}


def sounds(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
def test_stages_equal_the_encoders_own_forward(name, family, dtype, tolerance, training):
    stream, x = family.make(dtype).train(training), sounds(*SHAPES[name], dtype=dtype)
    expected = family.forward(stream.encoder, x)
    torch.testing.assert_close(stream(x), expected, rtol=tolerance, atol=tolerance)
    rows, columns = stream.grid
    assert expected.shape == (2, stream.special + rows * columns, stream.width)


def test_gradients_are_those_of_the_encoder(name, family, stream):
    check_gradients(stream, family.forward, sounds(*SHAPES[name]))


def test_tokens_added_by_a_method_have_no_positions(name, stream):
    check_added_tokens(stream, sounds(*SHAPES[name]))


def test_linears_are_those_of_the_blocks(stream):
    blocks = [n for n, m in stream.encoder.named_modules() if isinstance(m, nn.Linear) and "layers" in n]
    assert sorted(stream.all_linears()) == sorted(blocks)
    assert [stream.features(1, role) for role in ("q", "k", "fc1")] == [(24, 24), (24, 24), (24, 40)]


def test_the_summary_is_the_mean_of_all_tokens(stream):
    x = torch.randn(2, 9, 24)
    for kind in ("cls", "mean"):
        torch.testing.assert_close(stream.summary(x, kind), x.mean(1))


@pytest.mark.parametrize(("frames", "tokens"), [(1, 1), (7, 4), (8, 4), (19, 10)])
def test_whisper_reads_sounds_of_any_length_up_to_its_window(frames, tokens):
    """Shorter sounds have the first positions; nothing is computed for what would pad them."""
    family = FAMILIES["whisper"]
    stream = family.stream(family.encoder(), replace(MELS, frames=frames)).double()
    x = sounds(frames, 12)
    embedded = stream.embed(x)
    assert embedded.shape == (2, tokens, 24) and stream.grid == (1, tokens)
    padded = torch.cat([x, torch.zeros(2, 20 - frames, 12, dtype=x.dtype)], dim=1)
    torch.testing.assert_close(stream.embed(padded)[:, : tokens - 1], embedded[:, :-1])  # the last one reads beyond
    encoder = stream.encoder
    encoder.max_source_positions = encoder.config.max_source_positions = tokens  # makes its own forward accept it
    encoder.embed_positions = nn.Embedding.from_pretrained(encoder.embed_positions.weight[:tokens])
    if frames % 2 == 0:
        torch.testing.assert_close(stream(x), whisper_forward(encoder, x))


def test_sounds_that_whisper_cannot_read_are_refused():
    encoder = whisper()
    with pytest.raises(BenchError, match="21 frames of sound exceed the window of Whisper: set 20 frames or less"):
        WhisperStream(encoder, replace(MELS, frames=21))
    with pytest.raises(BenchError, match="16 mel bins do not fit an encoder of 12"):
        WhisperStream(encoder, replace(MELS, mel_bins=16))


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-large", "hubert", "hubert-large"])
@pytest.mark.parametrize("samples", [20, 123, 400])
def test_waveforms_of_any_length(family, samples):
    stream, x = FAMILIES[family].make(), sounds(samples)
    torch.testing.assert_close(stream(x), wav2vec2_forward(stream.encoder, x))


def test_nothing_is_random_in_training():
    config = Wav2Vec2Config()
    assert config.hidden_dropout == config.layerdrop == 0.1 and config.apply_spec_augment
    stream, x = FAMILIES["wav2vec2"].make().train(), sounds(200)
    torch.testing.assert_close(stream(x), stream(x))
    config = stream.encoder.config
    assert config.hidden_dropout == config.layerdrop == 0 and not config.apply_spec_augment


def test_no_graph_is_built_for_a_frozen_encoder():
    stream = FAMILIES["wav2vec2"].make().train().requires_grad_(False)
    assert not stream(sounds(200)).requires_grad


@pytest.mark.parametrize(
    ("values", "window_s", "message"),
    [
        ({"add_adapter": True}, 0.2, "add_adapter"),
        ({**LARGE, "adapter_attn_dim": 4}, 0.2, "adapter_attn_dim"),
        (
            {"conv_kernel": (110, 3)},
            0.1,
            "waveforms of 100 samples are too short for Wav2Vec2Model: set a larger window_s",
        ),
    ],
)
def test_what_wav2vec2_cannot_do_is_refused(values, window_s, message):
    with pytest.raises(BenchError, match=message):
        Wav2Vec2Stream(wav2vec2("wav2vec2", **values), replace(WAVES, window_s=window_s))
