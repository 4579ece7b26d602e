from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from torch.nn import functional as F

from bench.datasets.mini.build import VERSION
from bench.pretrain import RECIPES, MaskedAutoencoder, patch_values, pretrain
from bench.streams.load import WEIGHTS, load_stream

CARDS = sorted(WEIGHTS.glob("*/card.json"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_embedded_weights_are_those_of_their_card(path):
    card = json.loads(path.read_text())
    weights = path.with_name("model.safetensors").read_bytes()
    assert card["sha256"] == sha256(weights).hexdigest()
    assert card["data"]["generator_version"] == VERSION
    assert card["recipe"] == vars(RECIPES[card["recipe"]["modality"]])
    assert card["loss"]["last_100_steps"] < 0.6 * card["loss"]["first_100_steps"]


def test_the_embedded_weights_are_small():
    assert len(CARDS) == 2
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")) < 8e6


@pytest.mark.parametrize("modality", ["vision", "audio"])
def test_what_is_predicted_are_the_patches_in_the_order_of_the_tokens(modality):
    """The encoder's patch embedding, applied to the values of each patch, gives the tokens."""
    stream = load_stream(f"embedded:{modality}-v1")
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 56, 56) if modality == "vision" else torch.randn(2, 98, 128)
    embeddings = stream.encoder.embeddings.patch_embeddings
    projection = embeddings.projection
    tokens = F.linear(patch_values(stream, inputs), projection.weight.flatten(1), projection.bias)
    torch.testing.assert_close(tokens, embeddings(inputs), atol=1e-4, rtol=1e-4)


def test_the_encoder_does_not_see_what_is_masked():
    torch.manual_seed(0)
    stream = load_stream("embedded:vision-v1")
    model = MaskedAutoencoder(stream, masked=0.6, decoder_depth=1)
    lengths = []
    stream.encoder.layernorm.register_forward_hook(lambda module, args, output: lengths.append(output.shape[1]))
    assert model(torch.randn(2, 3, 56, 56)).isfinite()
    assert lengths == [1 + 49 - int(0.6 * 49)]


def test_pretraining_writes_an_encoder_and_its_card(tmp_path):
    few = replace(RECIPES["audio"], pool=500, steps=3, batch_size=8)
    pretrain(few, tmp_path)
    stream = load_stream(str(tmp_path))
    assert stream.input.mel_bins == 128 and stream.input.frames == 98
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["recipe"]["steps"] == 3 and card["parameters"] == sum(p.numel() for p in stream.encoder.parameters())
