"""Tiny multi-stream models with random weights, on which methods are checked."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import ASTConfig, BertConfig, ViTConfig

from bench.streams.base import Stream
from bench.streams.inputs import AudioInput, ImageInput, TextInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream

IMAGE = ImageInput(size=16, mean=(0.5,) * 3, std=(0.5,) * 3)
AUDIO = AudioInput(sample_rate=16000, mel_bins=16, frames=24, mean=0.0, std=1.0)
TEXT = TextInput("none", 8)
TWO = {"vision": 3, "audio": 2}
"""Streams of different depths, so that a block is unpaired."""
THREE = {**TWO, "text": 4}
_VOCABULARY = 20


def tiny_model(depths: Mapping[str, int] = TWO, dtype: torch.dtype = torch.float32) -> MultiStream:
    """Return streams with random weights: ViT, AST or BERT, by the beginning of their names.

    Args:
        depths: Number of blocks of each stream. Names that begin with `audio` read sounds (width 24), with `text` texts
            (width 40), and all others images (width 32).
        dtype: Type of the weights.
    """
    return copy.deepcopy(_tiny_model(tuple(depths.items()), dtype))


@functools.cache
def _tiny_model(depths: tuple[tuple[str, int], ...], dtype: torch.dtype) -> MultiStream:
    """Return the model to copy: building one takes three times as long. No random numbers of the caller are used up."""
    with torch.random.fork_rng(devices=[]):
        model = MultiStream({name: _stream(name, depth) for name, depth in depths})
    randomize(model)
    return model.to(dtype)


def tiny_inputs(model: MultiStream, batch: int = 3, seed: int = 1) -> dict[str, Tensor]:
    """Return random normalized inputs of a tiny model; texts have padding.

    Args:
        model: The model.
        batch: Number of inputs.
        seed: Determines the values.
    """
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    inputs = {}
    for name in model.streams:
        if name.startswith("text"):
            ids = torch.randint(1, _VOCABULARY, (batch, TEXT.length), generator=generator)
            lengths = torch.arange(batch) % 4 + 3
            inputs[name] = torch.where(torch.arange(TEXT.length) < lengths[:, None], ids, 0)
        else:
            shape = (24, 16) if name.startswith("audio") else (3, 16, 16)
            inputs[name] = torch.randn(batch, *shape, generator=generator).to(dtype)
    return inputs


def randomize(module: nn.Module, seed: int = 0) -> None:
    """Draw all parameters: initialized as usual, many are 0 or 1 and would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter) * 0.2


def perturb(model: nn.Module) -> None:
    """Move every trained parameter a little from its initial value."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(parameter))


def loss(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return a loss that depends on all tokens of all streams."""
    terms = [(y * torch.linspace(-1, 1, y.shape[-1], dtype=y.dtype)).mean() for y in outputs.values()]
    return torch.stack(terms).sum()


def _stream(name: str, depth: int) -> Stream:
    if name.startswith("audio"):
        sound = {"num_mel_bins": 16, "max_length": 24, "patch_size": 8, "frequency_stride": 8, "time_stride": 8}
        audio = ASTConfig(hidden_size=24, num_attention_heads=2, intermediate_size=40, num_hidden_layers=depth, **sound)
        return build_stream(audio, AUDIO)
    if name.startswith("text"):
        size = {"vocab_size": _VOCABULARY, "max_position_embeddings": TEXT.length}
        text = BertConfig(hidden_size=40, num_attention_heads=2, intermediate_size=48, num_hidden_layers=depth, **size)
        return build_stream(text, TEXT)
    image = {"patch_size": 8, "image_size": 16}
    vision = ViTConfig(hidden_size=32, num_attention_heads=4, intermediate_size=48, num_hidden_layers=depth, **image)
    return build_stream(vision, IMAGE)
