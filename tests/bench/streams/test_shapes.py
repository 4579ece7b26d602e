"""Encoders of which only the shape is here: their configurations, random weights, made-up inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config.suite import load_suite, read_toml, suite_names
from bench.errors import BenchError, UsageError
from bench.streams.inputs import AudioInput, ImageInput, TextInput, TextWithoutTokenizer
from bench.streams.load import load_stream, outline_stream, random_stream, save_stream
from bench.streams.sources import SHAPES, find_encoder, known_shapes

PARAMETERS = {
    "facebook/dinov2-small": 22_056_576,
    "facebook/dinov2-base": 86_580_480,
    "facebook/dinov2-large": 304_368_640,
    "facebook/dinov3-vitb16-pretrain-lvd1689m": 85_660_416,
    "google/vit-base-patch16-224-in21k": 85_798_656,
    "google/vit-large-patch16-224-in21k": 303_301_632,
    "microsoft/swinv2-large-patch4-window12-192-22k": 195_202_932,
    "MIT/ast-finetuned-audioset-10-10-0.4593": 86_187_264,
    "google-bert/bert-base-uncased": 108_891_648,
    "google-bert/bert-large-uncased": 334_092_288,
    "FacebookAI/roberta-base": 124_055_040,
    "openai/whisper-tiny.en": 8_208_384,  # the encoder
    "sentence-transformers/all-MiniLM-L6-v2": 22_565_376,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Provide an empty Hugging Face cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("model", known_shapes())
def test_every_shape_makes_a_stream_of_the_released_size(model):
    stream = outline_stream(model)
    if model in PARAMETERS:
        assert sum(parameter.numel() for parameter in stream.parameters()) == PARAMETERS[model]
    expected = {
        "small": 384,
        "vits16": 384,
        "tiny": 384,
        "MiniLM": 384,
        "base": 768,
        "vitb16": 768,
        "large": 1024,
        "vitl16": 1024,
    }
    if "swinv2" not in model:
        assert stream.width == next((width for part, width in expected.items() if part in model), 768)
    if isinstance(stream.input, ImageInput):
        assert stream.input.size == (192 if "192" in model else 224)


def test_the_shapes_of_all_counted_models_are_here():
    assert set(PARAMETERS) <= set(known_shapes())


def test_built_in_suites_name_encoders_whose_shape_is_known():
    models = {source.model for name in suite_names() for source in load_suite(name).streams.values()}
    for model in models:
        assert outline_stream(model).depth


def test_a_wheel_holds_the_shapes():
    project = read_toml(Path(__file__).parents[3] / "pyproject.toml")
    patterns = project["tool"]["setuptools"]["package-data"]["bench.streams"]
    files = {path for pattern in patterns for path in SHAPES.parent.glob(pattern)}
    assert files == {path for path in SHAPES.rglob("*") if path.is_file()}


def test_weights_are_asked_for_as_before():
    with pytest.raises(UsageError, match="Download it with `hf download facebook/dinov2-base"):
        load_stream("facebook/dinov2-base")
    with pytest.raises(UsageError, match=r"have the shapes of .*facebook/dinov2-base"):
        find_encoder("facebook/dinov2-bse", weights=False)


def test_a_copy_in_the_cache_counts_before_the_known_shape(cache, make_stream):
    folder = cache / "models--facebook--dinov2-base"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123abcd")
    save_stream(make_stream("dinov2", dtype=torch.float32), folder / "snapshots" / "0123abcd")
    assert random_stream("facebook/dinov2-base").width == outline_stream("facebook/dinov2-base").width != 768


def test_texts_can_be_made_up_but_not_read():
    input = outline_stream("google-bert/bert-base-uncased", length=12).input
    assert isinstance(input, TextWithoutTokenizer) and input.length == 12 and input.vocabulary() == (30522, 0)
    with pytest.raises(UsageError, match="hf download google-bert/bert-base-uncased"):
        input.encode(["the red ball"])


@pytest.mark.parametrize("name", ["vision-v2", "audio-v1", "text-v2"])
def test_random_weights_are_another_encoder_of_the_same_kind(name):
    """All but the parameters is as the checkpoint has it, and they are all there."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stream = random_stream(f"embedded:{name}")
    loaded = load_stream(f"embedded:{name}")
    assert not stream.training
    assert {n: p.shape for n, p in stream.named_parameters()} == {n: p.shape for n, p in loaded.named_parameters()}
    assert all(torch.equal(a, b) for a, b in zip(stream.buffers(), loaded.buffers(), strict=True))
    x = stream.input.random(2, generator=torch.Generator().manual_seed(0))
    y = stream(stream.input.normalize(x))
    assert y.isfinite().all() and 0.1 < y.std() < 10
    assert y.shape == loaded(loaded.input.normalize(x)).shape
    assert not torch.allclose(y, loaded(loaded.input.normalize(x)))


@pytest.mark.parametrize(
    "model", ["microsoft/swinv2-base-patch4-window12-192-22k", "facebook/dinov3-vits16-pretrain-lvd1689m"]
)
def test_buffers_that_no_file_holds_are_made(model, tmp_path):
    """Tables of positions are made by the constructor, which makes no weights here."""
    config = json.loads((find_encoder(model, weights=False) / "config.json").read_text(encoding="utf-8"))
    small = {"embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2]} if "swin" in model else {"num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config | small))
    (tmp_path / "preprocessor_config.json").write_text((SHAPES / model / "preprocessor_config.json").read_text())
    stream = random_stream(str(tmp_path))
    ordinary = type(stream.encoder)(stream.encoder.config)
    buffers = dict(ordinary.named_buffers())
    assert buffers
    for name, buffer in stream.encoder.named_buffers():
        assert torch.equal(buffer, buffers[name]), name


def test_made_up_media_are_as_samples_hold_them():
    generator = torch.Generator().manual_seed(0)
    image = ImageInput(8, (0.5,) * 3, (0.25,) * 3).random(2, 3, generator=generator)
    assert image.shape == (2, 3, 3, 8, 8) and image.dtype == torch.uint8 and image.max() > 250
    sound = AudioInput(16000, 16, 20, -4.0, 4.0)
    sample = sound.random(50, generator=generator)
    assert sample.shape == (50, 20, 16) and sample.dtype == torch.float32
    assert sound.normalize(sample).mean().abs() < 0.05 and abs(sound.normalize(sample).std() - 0.5) < 0.05


@settings(max_examples=50, deadline=None)
@given(ids=st.integers(2, 50), padding=st.integers(0, 49), length=st.integers(3, 40), seed=st.integers(0, 9))
def test_made_up_texts_are_words_and_then_padding(ids, padding, length, seed):
    input = TextWithoutTokenizer("none", length, ids=ids, padding=padding % ids)
    sample = input.random(4, 2, generator=torch.Generator().manual_seed(seed))
    assert sample.shape == (4, 2, length) and sample.dtype == torch.int64
    assert sample.min() >= 0 and sample.max() < ids
    words = sample != padding % ids
    assert (words.sum(-1) >= 3).all() and (words.int().diff(dim=-1) <= 0).all()


def test_tasks_and_texts_of_others_are_told_of(text_input):
    assert isinstance(text_input, TextInput)
    with pytest.raises(BenchError, match="images, which have no setting length; settings: size"):
        random_stream("facebook/dinov2-base", length=3)
