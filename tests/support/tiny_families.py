"""Tiny encoders of the families that have a file of their own, with random weights, and their own forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.streams.additions import AddedTokens
from bench.streams.base import Stream
from bench.streams.inputs import Input


@dataclass(frozen=True)
class Family:
    """How to make a tiny stream of a family and what to compare it with.

    Attributes:
        stream: The class of the stream.
        encoder: Returns a tiny transformers model.
        forward: Returns the tokens that the stream must return, by the encoder's own forward.
        input: The form of its input.
        block: The paths of a block's linears contain this.
    """

    stream: type[Stream]
    encoder: Callable[[], Any]
    forward: Callable[[Any, Tensor], Tensor]
    input: Input
    block: str = "layer"

    def make(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> Stream:
        """Return a stream whose parameters are all random: as initialized, some would hide a mistake."""
        stream = self.stream(self.encoder(), self.input)
        generator = torch.Generator().manual_seed(seed)
        for parameter in stream.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
        return stream.to(dtype)


def last_hidden_state(encoder: Any, inputs: Tensor) -> Tensor:
    return encoder(inputs).last_hidden_state


def check_gradients(stream: Stream, forward: Callable[[Any, Tensor], Tensor], inputs: Tensor) -> None:
    """Check that a stream's gradients are those of the encoder's own forward, for every linear of a block.

    Padding has no part in them.
    """
    modules = [stream.encoder.get_submodule(path) for path in stream.all_linears()]
    weights = [module.weight for module in modules]
    weight_BTD = torch.randn(forward(stream.encoder, inputs).shape, generator=torch.Generator().manual_seed(1))
    weight_BTD = weight_BTD.to(inputs if inputs.is_floating_point() else weights[0])
    if (mask_BT := stream.mask(inputs)) is not None:
        weight_BTD = weight_BTD * mask_BT[..., None]
    expected = torch.autograd.grad((forward(stream.encoder, inputs) * weight_BTD).sum(), weights)
    actual = torch.autograd.grad((stream(inputs) * weight_BTD).sum(), weights)
    for gradient, reference in zip(actual, expected, strict=True):
        assert reference.any()
        torch.testing.assert_close(gradient, reference, rtol=1e-7, atol=1e-9)


class Prompts(AddedTokens):
    """The same tokens in every block."""

    def __init__(self, values_PD: Tensor) -> None:
        super().__init__()
        self.values_PD = values_PD
        self.count = len(values_PD)

    def forward(self, block: int, previous_BPD: Tensor | None) -> Tensor:
        return self.values_PD


def check_added_tokens(stream: Stream, inputs: Tensor) -> None:
    """Check that every token of a stream reads tokens added to it, which have no positions."""
    original = stream(inputs)
    values_PD = torch.randn(3, stream.width, generator=torch.Generator().manual_seed(2)).to(original)
    stream.added = nn.ModuleList([Prompts(values_PD)])
    expected = stream(inputs)
    assert expected.shape == original.shape and not torch.isclose(expected, original).all(-1).any()
    stream.added = nn.ModuleList([Prompts(values_PD[[2, 0, 1]])])
    torch.testing.assert_close(stream(inputs), expected)
