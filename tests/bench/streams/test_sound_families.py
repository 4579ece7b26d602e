"""Families of sound encoders beside AST, compared with the encoders' own forward."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_families import Family, check_added_tokens, check_gradients
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from bench.errors import BenchError
from bench.streams.base import Stream
from bench.streams.inputs import WhisperInput
from bench.streams.whisper import WhisperStream

MELS = WhisperInput(sample_rate=16000, mel_bins=12, frames=20)


def whisper() -> WhisperEncoder:
    sizes = {"d_model": 24, "encoder_attention_heads": 3, "encoder_layers": 3, "encoder_ffn_dim": 40}
    return WhisperEncoder(WhisperConfig(num_mel_bins=12, max_source_positions=10, decoder_layers=1, **sizes))


def whisper_forward(encoder: Any, inputs: Tensor) -> Tensor:
    return encoder(inputs.transpose(1, 2)).last_hidden_state


FAMILIES = {"whisper": Family(WhisperStream, whisper, whisper_forward, MELS)}
SHAPES = {"whisper": (20, 12)}


def sounds(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def family(name: str) -> Family:
    return FAMILIES[name]


@pytest.fixture
def stream(family: Family) -> Stream:
    return family.make()


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
    blocks = [n for n, m in stream.encoder.named_modules() if isinstance(m, nn.Linear) and "layer" in n]
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
