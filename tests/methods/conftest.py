"""A tiny multi-stream model, with random weights everywhere."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from transformers import ASTConfig, ViTConfig

from bench.methods.crossmodal import InterModal, inter_modal_tensors
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream

IMAGE = ImageInput(size=16, mean=(0.5,) * 3, std=(0.5,) * 3)
AUDIO = AudioInput(sample_rate=16000, mel_bins=16, frames=24, mean=0.0, std=1.0)
DEPTHS = {"vision": 3, "audio": 2}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Draw all parameters: as initialised, many are 0 or 1 and would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter) * 0.2


def tiny_model(depths: Mapping[str, int] = DEPTHS, dtype: torch.dtype = torch.float64) -> MultiStream:
    """Streams of the widths 24 (whose name begins with `audio`) and 32 (any other)."""
    streams = {}
    for name, depth in depths.items():
        if name.startswith("audio"):
            audio = {"num_mel_bins": 16, "max_length": 24, "frequency_stride": 8, "time_stride": 8}
            config = ASTConfig(hidden_size=24, num_attention_heads=2, intermediate_size=40, patch_size=8, **audio)
        else:
            config = ViTConfig(hidden_size=32, num_attention_heads=4, intermediate_size=48, patch_size=8, image_size=16)
        config.num_hidden_layers = depth
        streams[name] = build_stream(config, AUDIO if name.startswith("audio") else IMAGE)
    model = MultiStream(streams)
    randomise(model)
    return model.to(dtype)


def tiny_inputs(model: MultiStream, batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {name: (24, 16) if name.startswith("audio") else (3, 16, 16) for name in model.streams}
    dtype = next(model.parameters()).dtype
    return {name: torch.randn(batch, *shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def plain_term(model: MultiStream, stream: str, block: int, role: str, partner: str) -> InterModal:
    """The term of a linear in the plain form, with the values that it has in a model."""
    prefix = f"{stream}.{block}.{role}.{partner}."
    values = {k.removeprefix(prefix): v for k, v in inter_modal_tensors(model).items() if k.startswith(prefix)}
    (r, in_features), (hidden, width) = values["A"].shape, values["hyper.fc1.weight"].shape
    term = InterModal((in_features, len(values["B"])), width, r, hidden, scale=0.0).to(values["A"].dtype)
    term.load_state_dict(values)
    return term


@pytest.fixture(scope="session")
def make_plain_term():
    return plain_term


@pytest.fixture(scope="session")
def make_model():
    return tiny_model


@pytest.fixture(scope="session")
def make_inputs():
    return tiny_inputs


@pytest.fixture(scope="session")
def draw():
    return randomise


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small only lose by being shared out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
