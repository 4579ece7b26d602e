"""Tiny encoders of every family, with random weights everywhere."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_families import Family
from transformers import ASTConfig, BertConfig, BertTokenizer, Dinov2Config, DINOv3ViTConfig, Swinv2Config, ViTConfig

from bench.streams.base import Stream
from bench.streams.inputs import AudioInput, ImageInput, TextInput
from bench.streams.load import build_stream

IMAGE = ImageInput(size=32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
AUDIO = AudioInput(sample_rate=16000, mel_bins=24, frames=40, mean=-4.0, std=4.5)
SIZE = {"hidden_size": 32, "num_attention_heads": 4}
VISION = {"image_size": 32, "patch_size": 8, **SIZE}
SOUND = {"patch_size": 8, "frequency_stride": 8, "time_stride": 6, "num_mel_bins": 24, "max_length": 40, **SIZE}

CONFIGS = {
    "vit": (ViTConfig, {**VISION, "intermediate_size": 48}),
    "vit-no-qkv-bias": (ViTConfig, {**VISION, "intermediate_size": 48, "qkv_bias": False}),
    "dinov2": (Dinov2Config, {**VISION, "mlp_ratio": 2}),
    "dinov2-swiglu": (Dinov2Config, {**VISION, "mlp_ratio": 2, "use_swiglu_ffn": True}),
    "dinov3": (DINOv3ViTConfig, {**VISION, "intermediate_size": 48, "num_register_tokens": 2}),
    "dinov3-gated": (DINOv3ViTConfig, {**VISION, "intermediate_size": 48, "use_gated_mlp": True, "key_bias": True}),
    "ast": (ASTConfig, {**SOUND, "intermediate_size": 48}),
}


def tiny_swin(
    size: int = 32, depths: tuple[int, ...] = (2, 2), window: int = 4, dtype: torch.dtype = torch.float64
) -> Stream:
    """16 features in the first stage. Its windows are of `window` places, or of all where a stage has fewer."""
    heads = [2 * 2**stage for stage in range(len(depths))]
    config = Swinv2Config(
        image_size=32,
        patch_size=2,
        embed_dim=16,
        depths=list(depths),
        num_heads=heads,
        window_size=window,
        mlp_ratio=2.0,
    )
    stream = drawn(build_stream(config, replace(IMAGE, size=size)), len(depths))
    for name, parameter in stream.named_parameters():
        if name.endswith("logit_scale"):  # such that some are cut off, and that masks must be strong
            parameter.data = 4.5 + 5 * parameter.data
    return stream.to(dtype)


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "red", "ball", "##s", "left", "of", "a", "dog", "[", "]", "pad", "e"]


def tiny_stream(kind: str, depth: int = 3, dtype: torch.dtype = torch.float64) -> Stream:
    config, values = CONFIGS[kind]
    stream = build_stream(config(num_hidden_layers=depth, **values), AUDIO if kind == "ast" else IMAGE)
    return drawn(stream, depth).to(dtype)


def tiny_text_stream(input: TextInput, depth: int = 3, dtype: torch.dtype = torch.float64, **values: int) -> Stream:
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40, **values}
    config = BertConfig(vocab_size=20, max_position_embeddings=48, num_hidden_layers=depth, **sizes)
    return drawn(build_stream(config, input), depth).to(dtype)


def drawn(stream: Stream, seed: int) -> Stream:
    generator = torch.Generator().manual_seed(seed)
    for parameter in stream.parameters():  # as initialised, many are 0 or 1 and would hide a mistake
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return stream


def tiny_input(kind: str, batch: int = 2, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    shape = (40, 24) if kind == "ast" else (3, 32, 32)
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture(params=CONFIGS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that need a `name`, a `family` or a `stream` with every one of their module's FAMILIES."""
    if "name" in metafunc.fixturenames and hasattr(metafunc.module, "FAMILIES"):
        metafunc.parametrize("name", metafunc.module.FAMILIES)


@pytest.fixture
def family(name: str, request: pytest.FixtureRequest) -> Family:
    return request.module.FAMILIES[name]


@pytest.fixture
def stream(family: Family) -> Stream:
    return family.make()


@pytest.fixture
def make_stream():
    return tiny_stream


@pytest.fixture(scope="session")
def make_swin():
    return tiny_swin


@pytest.fixture
def make_input():
    return tiny_input


@pytest.fixture(scope="session")
def make_text_stream():
    return tiny_text_stream


@pytest.fixture(scope="session")
def text_input(tmp_path_factory: pytest.TempPathFactory) -> TextInput:
    """Of a tokenizer that knows a few words."""
    folder = tmp_path_factory.mktemp("tokenizer")
    BertTokenizer({word: number for number, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder)
    return TextInput(str(folder))


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """Provide an empty Hugging Face cache, without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the network was asked"))
    return tmp_path / "cache"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def snapshot_in(cache: Path, model: str) -> Path:
    folder = cache / f"models--{model.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "blobs").mkdir()
    return folder / "snapshots" / COMMIT


@pytest.fixture
def snapshot(hub_cache: Path) -> Callable[[str], Path]:
    """Return a function that makes the folder of a model in the cache, as `hf download` does."""
    return partial(snapshot_in, hub_cache)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small only lose by being shared out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
