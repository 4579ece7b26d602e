from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.datasets.mini import VERSION
from bench.datasets.mini.expressions import MANNERS
from bench.datasets.mini.scene import random_scene
from bench.datasets.mini.wording import COLORS, NOUNS, SIZES
from bench.datasets.scenes.expressions import expressions
from bench.pretraining.masked_autoencoder import MaskedAutoencoder, patch_values
from bench.pretraining.masked_language_model import SPECIAL, MaskedLanguageModel, new_text_stream
from bench.pretraining.pretrain import RECIPES, pretrain
from bench.streams.load import load_stream
from bench.streams.sources import WEIGHTS

MADE_BY = {"vision": 2, "audio": 1, "text": 2}  # the generator has made the same media since that version
CARDS = sorted(WEIGHTS.glob("*/card.json"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_embedded_weights_are_those_of_their_card(path):
    card = json.loads(path.read_text())
    weights = path.with_name("model.safetensors").read_bytes()
    assert card["sha256"] == sha256(weights).hexdigest()
    assert card["data"]["generator_version"] == MADE_BY[card["recipe"]["modality"]] <= VERSION
    assert card["recipe"] == vars(RECIPES[card["recipe"]["modality"]])
    assert card["loss"]["last_100_steps"] < 0.6 * card["loss"]["first_100_steps"]


def test_the_embedded_weights_are_small():
    assert len(CARDS) == 3
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")) < 8e6


@pytest.mark.parametrize("modality", ["vision", "audio"])
def test_what_is_predicted_are_the_patches_in_the_order_of_the_tokens(modality):
    """The encoder's patch embedding, applied to the values of each patch, gives the tokens."""
    stream = load_stream({"vision": "embedded:vision-v2", "audio": "embedded:audio-v1"}[modality])
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 48, 48) if modality == "vision" else torch.randn(2, 98, 128)
    embeddings = stream.encoder.embeddings.patch_embeddings
    projection = embeddings.projection
    tokens = F.linear(patch_values(stream, inputs), projection.weight.flatten(1), projection.bias)
    torch.testing.assert_close(tokens, embeddings(inputs), atol=1e-4, rtol=1e-4)


def test_the_encoder_does_not_see_what_is_masked():
    torch.manual_seed(0)
    stream = load_stream("embedded:vision-v2")
    model = MaskedAutoencoder(stream, masked=0.6, decoder_depth=1)
    lengths = []
    stream.encoder.layernorm.register_forward_hook(lambda module, args, output: lengths.append(output.shape[1]))
    assert model(torch.randn(2, 3, 48, 48)).isfinite()
    assert lengths == [1 + 36 - int(0.6 * 36)]


def test_pretraining_writes_an_encoder_and_its_card(tmp_path):
    small_recipe = replace(RECIPES["audio"], pool=500, steps=3, batch_size=8)
    pretrain(small_recipe, tmp_path)
    stream = load_stream(str(tmp_path))
    assert stream.input.mel_bins == 128 and stream.input.frames == 98
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["recipe"]["steps"] == 3 and card["parameters"] == sum(p.numel() for p in stream.encoder.parameters())


@pytest.fixture(scope="module")
def new_text(tmp_path_factory):
    torch.manual_seed(0)
    stream, _ = new_text_stream(tmp_path_factory.mktemp("text"), width=16, depth=1, heads=2)
    return stream


def test_the_tokenizer_knows_the_generators_words_whole_and_spells_all_others(new_text):
    words = new_text.input.encode(["the turquoise hoop with stripes"])[0]
    assert (words > 0).sum() == 5 + 2
    spelt = new_text.input.encode(["a Zebra, 42!"])[0]
    assert SPECIAL.index("[UNK]") not in spelt
    assert (spelt > 0).sum() == 1 + 5 + 1 + 2 + 1 + 2


def test_only_words_are_hidden_and_most_of_them_are_masked(new_text):
    ids = torch.from_numpy(new_text.input.encode(["the red ring on the left"] * 1500))
    model = MaskedLanguageModel(new_text, masked=0.2)
    inputs = []
    new_text.encoder.embeddings.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    torch.manual_seed(0)
    logits, target = model.predict(ids)
    words = ids >= len(SPECIAL)
    assert logits.shape == (len(target), len(model.bias))
    assert len(target) / words.sum() == pytest.approx(0.2, abs=0.02)
    assert (inputs[0] == ids)[~words].all()
    hidden = (inputs[0] == SPECIAL.index("[MASK]")).sum() / len(target)
    assert hidden == pytest.approx(0.8, abs=0.03)
    random_fraction = ((inputs[0] != ids) & words).sum() / len(target) - hidden
    assert random_fraction == pytest.approx(0.1, abs=0.03)
    assert model(ids).item() == pytest.approx(np.log(len(model.bias)), abs=0.5)


def test_pretraining_writes_a_text_encoder_with_its_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.pretraining.pretrain.HELD_OUT", 50)
    pretrain(replace(RECIPES["text"], pool=100, steps=3, batch_size=8), tmp_path)
    stream = load_stream(str(tmp_path))
    assert stream(torch.from_numpy(stream.input.encode(["left ring"]))).shape == (1, 40, 64)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["held_out"]["texts"] == 50 and 0 <= card["held_out"]["masked_tokens_right"] < 0.5


@torch.no_grad()
def test_the_embedded_text_encoder_tells_what_is_said_of_the_object():
    """A linear probe of the mean state tells category, colour and size of the object, where they are said."""
    stream = load_stream("embedded:text-v2")
    phrases, looks = [], []
    for seed in range(700):
        rng = np.random.default_rng([9, seed])
        scene = random_scene(rng)
        phrases += expressions(rng, scene, scene.items[0], MANNERS["refcoco+"], 1)
        looks.append(scene.items[0].look)
    ids = torch.from_numpy(stream.input.encode(phrases))
    mask = stream.mask(ids)[..., None]
    states = ((stream(ids) * mask).sum(1) / mask.sum(1)).double()
    states = torch.cat([states, torch.ones(len(states), 1)], dim=1)
    for part, words in enumerate((NOUNS, COLORS, SIZES)):
        named = torch.tensor(
            [
                any(word in sentence.split() for word in words[look[part]])
                for sentence, look in zip(phrases, looks, strict=True)
            ]
        )
        target = torch.tensor([list(words).index(look[part]) for look in looks])[named]
        x, half = states[named], int(named.sum()) // 2
        weights = torch.linalg.lstsq(x[:half], F.one_hot(target[:half], len(words)).double()).solution
        assert ((x[half:] @ weights).argmax(1) == target[half:]).double().mean() > 0.9
