"""LoRA+, prompts and bottleneck adapters against plain code."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bench.conformance.models import TWO, perturb, tiny_inputs, tiny_model
from bench.errors import BenchError
from bench.methods.adapter import Adapter
from bench.methods.lora_plus import LoRAPlus
from bench.methods.vpt import VPT


def test_b_of_lora_plus_has_a_higher_rate_and_a_does_not():
    model, method = tiny_model(), LoRAPlus(r=2, ratio=4.0)
    method.attach(model)
    (group,) = method.parameter_groups().values()
    assert group.lr_factor == 4 and group.weight_decay is None
    assert set(group.names) == {name for name in method.adapter_names(model) if "lora_B" in name}
    assert len(group.names) == len(method.adapter_names(model)) / 2


@pytest.mark.parametrize("deep", [False, True])
def test_prompts_are_trained_in_every_stream(deep):
    model = tiny_model()
    method = VPT(tokens=3, deep=deep)
    method.attach(model)
    sizes = {"vision": 3 * 32, "audio": 3 * 24}
    assert {name: model.get_parameter(name).numel() for name in method.adapter_names(model)} == {
        f"streams.{name}.added.0.values": size * (TWO[name] if deep else 1) for name, size in sizes.items()
    }
    bound = (6 / 64) ** 0.5
    values = model.get_parameter("streams.vision.added.0.values")
    assert values.abs().max() <= bound and values.abs().max() > 0.9 * bound


def test_prompts_may_be_for_some_streams_only():
    model, method = tiny_model(), VPT(tokens=3, streams=("audio",))
    method.check_streams(list(model.streams))
    method.attach(model)
    assert method.adapter_names(model) == ["streams.audio.added.0.values"]
    with pytest.raises(ValueError, match="streams: unknown stream text: known: audio, vision"):
        VPT(streams=("text",)).check_streams(list(model.streams))


def test_a_stream_without_room_for_prompts_is_refused(make_model):
    model = tiny_model()
    type(model.streams["vision"]).accepts_added_tokens, initial = False, True
    try:
        with pytest.raises(BenchError, match="vision: encoders of the family vit accept no added tokens"):
            VPT().attach(model)
    finally:
        type(model.streams["vision"]).accepts_added_tokens = initial


@pytest.mark.parametrize("place", ["after", "beside"])
def test_a_bottleneck_stands_after_both_sublayers_or_beside_them(place):
    model = tiny_model({"vision": 2}, torch.float64)
    Adapter(bottleneck=3, place=place).attach(model)
    perturb(model)
    inputs = tiny_inputs(model)
    stream = model.streams["vision"]
    x = stream.embed(inputs["vision"])
    for block, layer in enumerate(stream.encoder.layers):
        for sublayer in ("attention", "feed_forward"):
            (adapter,) = model.adapters["vision"][str(block)][sublayer]
            if sublayer == "attention":
                y = layer.attention(layer.layernorm_before(x))[0]
            else:
                y = layer.mlp(layer.layernorm_after(x))
            x = x + y + adapter.up(F.gelu(adapter.down(y if place == "after" else x)))
    torch.testing.assert_close(model(inputs)["vision"], stream.encoder.layernorm(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LoRAPlus(ratio=0), "ratio must be above 0"),
        (lambda: VPT(tokens=0), "tokens must be at least 1"),
        (lambda: Adapter(bottleneck=0), "bottleneck must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
