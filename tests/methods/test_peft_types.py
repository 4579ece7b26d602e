"""PEFT's other methods by their names: which there are, their settings and sizes, where they go."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from peft import IA3Config, LoHaConfig, OFTConfig, VeraConfig

from bench import registry
from bench.config import validate
from bench.errors import BenchError, UsageError
from bench.methods.peft_method import PeftMethod
from bench.methods.peft_types import config_classes

STREAMS = {"vision": (32, 48, 3), "audio": (24, 40, 2)}  # width, features between the MLP's linears, depth


def make(name: str, **values) -> PeftMethod:
    return validate.build(registry.load("methods", name), values, name)


def trained(model, name: str, **values) -> int:
    method = make(name, **values)
    method.attach(model)
    return sum(model.get_parameter(key).numel() for key in method.adapter_names(model))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("peft:verra", "PEFT has no type verra that adapts encoders: did you mean vera"),
        ("peft:VERA", "PEFT has no type VERA that adapts encoders: did you mean vera"),
        ("peft:ia", "PEFT has no type ia that adapts encoders: "),
        ("peft:prompt_tuning", "PEFT has no type prompt_tuning that adapts encoders: "),
        ("peft:adalora", "peft:adalora is not supported: use the method adalora"),
        ("peft:poly", "peft:poly is not supported: it needs the task with every batch"),
        ("peft:trainable_tokens", "it trains token embeddings"),
        ("peft:adaption_prompt", "it changes the attention of language models"),
        ("peft:osf", "PEFT cannot restore the weights that it changes"),
    ],
)
def test_types_that_do_not_apply_are_told(name, message):
    with pytest.raises(UsageError) as raised:
        registry.load("methods", name)
    (problem,) = raised.value.problems
    assert message in problem


def test_the_types_are_those_that_are_told_where_to_go():
    classes = config_classes()
    assert {"vera", "ia3", "oft", "loha", "lokr", "ln_tuning", "hra"} <= classes.keys()
    assert classes.keys().isdisjoint({"prompt_tuning", "p_tuning", "prefix_tuning", "adalora", "poly", "osf"})


@pytest.mark.parametrize("name", sorted(config_classes()))
def test_every_type_has_settings_that_are_pefts_with_its_defaults(name):
    cls = registry.load("methods", f"peft:{name}")
    config = config_classes()[name]
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    fields = {field.name: field.default for field in dataclasses.fields(cls)}
    choice = {name: fields.pop(name) for name in ("streams", "linears", "blocks")}
    assert choice == {"streams": (), "linears": "all", "blocks": "all"}, "everything is adapted"
    assert fields.items() <= defaults.items()
    assert fields.keys().isdisjoint({"target_modules", "peft_type", "task_type", "inference_mode", "modules_to_save"})
    assert validate.check(cls, fields, name) == fields, "each default is of the type that the setting has"
    assert cls.__doc__.splitlines()[0] == f"{config.__name__} of PEFT."


def test_settings_reach_pefts_configuration(make_model):
    stream = make_model().streams["audio"]
    config = make("peft:vera", r=5, d_initial=0.2, vera_dropout=0.1).config(stream)
    assert isinstance(config, VeraConfig)
    assert (config.r, config.d_initial, config.vera_dropout) == (5, 0.2, 0.1)
    assert config.target_modules == set(stream.all_linears())
    plain = make("peft:loha").config(stream)
    reference = LoHaConfig(target_modules=stream.all_linears())
    assert plain.to_dict() == reference.to_dict()
    with pytest.raises(UsageError, match=r"unknown key peft:vera\.rank: .*known: bias, blocks, d_initial"):
        make("peft:vera", rank=3)
    with pytest.raises(UsageError, match=r"peft:vera\.r must be a whole number, not 'many'"):
        make("peft:vera", r="many")


@pytest.mark.parametrize(
    ("name", "size_settings"),
    [
        ("vera", ("r",)),
        ("loha", ("r",)),
        ("oft", ("oft_block_size",)),
        ("fourierft", ("n_frequency",)),
        ("ia3", ()),
        ("ln_tuning", ()),
    ],
)
def test_size_settings(name, size_settings):
    assert make(f"peft:{name}").size_settings == size_settings


def test_turning_r_keeps_alpha_to_it_as_whole_numbers_can():
    loha = make("peft:loha", r=8, alpha=4)
    assert loha.with_size("r", 16) == {"r": 16, "alpha": 8}
    assert loha.with_size("r", 1) == {"r": 1, "alpha": 1}, "0 would be no adapter"
    lora = make("peft:lora", r=8, lora_alpha=16)
    assert lora.with_size("r", 3) == {"r": 3, "lora_alpha": 6}
    assert make("peft:oft").with_size("oft_block_size", 4) == {"oft_block_size": 4}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("peft:vera", {"r": 0}, "division by zero"),
        ("peft:loha", {"r": 0}, "`r` should be a positive integer"),
        ("peft:vblora", {}, "must be divisible by `vector_length` 256"),
        ("peft:fourierft", {"n_frequency": 10**6}, "n_frequency"),
        ("peft:miss", {}, r"`r` \(64\) must be less than or equal to"),
        ("cola+peft:vblora", {}, "must be divisible by `vector_length` 256"),
    ],
)
def test_what_peft_refuses_is_told_in_one_message(make_model, name, values, message):
    method = make(name, **values)
    with pytest.raises(BenchError, match=message) as raised:
        method.attach(make_model())
    assert not isinstance(raised.value, UsageError)
    assert str(raised.value).startswith(f"PEFT's {name.rpartition(':')[2]} cannot adapt these streams: ")


def test_ia3_rescales_keys_values_and_the_inner_activations(make_model):
    model = make_model(dtype=torch.float32)
    method = make("peft:ia3")
    config = method.config(model.streams["vision"])
    assert isinstance(config, IA3Config)
    roles = ("k", "v", "fc2")
    linears = [model.streams["vision"].linears(block) for block in range(3)]
    assert config.target_modules == {paths[role] for paths in linears for role in roles}
    assert config.feedforward_modules == {paths["fc2"] for paths in linears}
    assert trained(model, "peft:ia3") == sum(d * (2 * width + inner) for width, inner, d in STREAMS.values())

    stream = model.streams["vision"]
    layers = {role: stream.encoder.get_submodule(stream.linears(1)[role]) for role in ("q", *roles)}
    assert not hasattr(layers["q"], "ia3_l")
    with torch.no_grad():
        for role in roles:
            layers[role].ia3_l["default"].copy_(
                torch.linspace(0.5, 2, layers[role].ia3_l["default"].numel()).view_as(layers[role].ia3_l["default"])
            )
    x, hidden = torch.randn(2, 3, 32), torch.randn(2, 3, 48)
    for role in ("k", "v"):
        scaled = layers[role].base_layer(x) * layers[role].ia3_l["default"].flatten()
        torch.testing.assert_close(layers[role](x), scaled)
    scaled = layers["fc2"].base_layer(hidden * layers["fc2"].ia3_l["default"].flatten())
    torch.testing.assert_close(layers["fc2"](hidden), scaled)


def test_ln_tuning_trains_the_norms(make_model):
    model = make_model(dtype=torch.float32)
    method = make("peft:ln_tuning")
    method.attach(model)
    names = method.adapter_names(model)
    assert names and all("norm" in name for name in names)
    # Two norms a block and one at the end, each with a weight and a bias.
    expected = sum(2 * width * (2 * depth + 1) for width, _, depth in STREAMS.values())
    assert sum(model.get_parameter(name).numel() for name in names) == expected


@pytest.mark.parametrize("r", [1, 6, 40])
def test_vera_trains_two_vectors_a_linear(make_model, r):
    actual = trained(make_model(dtype=torch.float32), "peft:vera", r=r)
    assert actual == sum(depth * (6 * r + 5 * width + inner) for width, inner, depth in STREAMS.values())


def test_veras_projections_are_common_to_a_stream_and_not_trained(make_model):
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(make_model(dtype=torch.float32))
        make("peft:vera", r=4).attach(models[-1])
    for name, stream in models[0].streams.items():
        matrices = {key: buffer for key, buffer in stream.named_buffers() if "vera_" in key}
        assert len(matrices) == 2
        second = dict(models[1].streams[name].named_buffers())
        assert all(torch.equal(buffer, second[key]) for key, buffer in matrices.items()), "PEFT has a seed of its own"


@pytest.mark.parametrize(("name", "values"), [("peft:oft", {"oft_block_size": 4}), ("peft:loha", {"r": 2})])
def test_every_linear_of_every_block_is_adapted(make_model, name, values):
    model = make_model(dtype=torch.float32)
    method = make(name, **values)
    method.attach(model)
    assert len(list(method.adapters.layers())) == 6 * sum(depth for *_, depth in STREAMS.values())
    if name == "peft:oft":
        assert isinstance(method.config(model.streams["audio"]), OFTConfig)
        # r = in / block size skew-symmetric blocks of b (b - 1) / 2 numbers each.
        expected = sum(depth * 6 * (5 * width + inner) // 4 for width, inner, depth in STREAMS.values())
        assert sum(model.get_parameter(key).numel() for key in method.adapter_names(model)) == expected
