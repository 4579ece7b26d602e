"""Encoders of every family are saved and loaded, by their stream and by transformers as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from whole_checkpoints import IMAGE, INPUTS, WHOLE, save_whole

from bench.streams.inputs import Input, TextInput
from bench.streams.load import load_stream, outline_stream, save_stream

CASES = [(family, kind) for family, (_, _, kinds) in WHOLE.items() for kind in kinds]


def inputs_of(input: Input) -> Tensor:
    if isinstance(input, TextInput):
        return torch.from_numpy(input.encode(["the red ball", "a dog left of the ball"]))
    return input.normalize(input.random(2, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_tower_is_loaded_from_the_checkpoint_of_the_whole_model(family, kind, tmp_path, text_input):
    input = replace(text_input, length=12) if kind == "text" else INPUTS.get(family, IMAGE)
    saved = save_whole(family, tmp_path, input)
    stream = load_stream(str(tmp_path), kind)
    prefix, weights = WHOLE[family][2][kind], saved.state_dict()
    for path in stream.all_linears():
        (name,) = (name for name in weights if name.startswith(prefix) and name.endswith(f".{path}.weight"))
        assert torch.equal(weights[name], stream.encoder.get_submodule(path).weight)
    assert outline_stream(str(tmp_path), kind).depth == stream.depth


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_saved_stream_loads_again(family, kind, tmp_path, text_input):
    input = replace(text_input, length=12) if kind == "text" else INPUTS.get(family, IMAGE)
    save_whole(family, tmp_path / "whole", input)
    stream = load_stream(str(tmp_path / "whole"), kind)
    save_stream(stream, tmp_path / "stream")
    loaded = load_stream(str(tmp_path / "stream"))
    assert type(loaded) is type(stream)
    batch = inputs_of(stream.input)
    torch.testing.assert_close(loaded(batch), stream(batch))
