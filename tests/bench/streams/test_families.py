"""Families of encoders: those of this package, and those of others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model, VisionTextDualEncoderConfig, ViTConfig

from bench import registry
from bench.errors import UsageError
from bench.streams.families import EncoderFamily, Tower, family
from bench.streams.load import load_stream, outline_stream, save_stream
from bench.streams.prenorm import Dinov2Stream

TINY = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 16, "patch_size": 8}


class OtherStream(Dinov2Stream):
    """A third party's stream."""


MODULE = "test_families"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file can be imported by its name, as an installed package can."""
    monkeypatch.setitem(sys.modules, MODULE, sys.modules[__name__])


@pytest.mark.parametrize("name", registry.names("encoders"))
def test_every_family_names_classes_that_exist_and_read_its_kind_of_input(name):
    for tower in family(name).towers:
        assert tower.stream_class().input_type.kind == tower.kind
        assert tower.model_class().config_class


def test_a_family_of_another_package_loads_and_is_listed(tmp_path, monkeypatch, make_stream):
    """The package is one module, a class, a description and an entry point."""
    package = tmp_path / "package"
    information = package / "thirdparty-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[bench.encoders]\nthird = thirdparty:THIRD\n")
    (package / "thirdparty.py").write_text(
        "from transformers import AutoConfig, AutoModel, Dinov2Config, Dinov2Model\n"
        "from bench.streams.families import EncoderFamily, Tower\n"
        "from bench.streams.prenorm import Dinov2Stream\n"
        "class ThirdConfig(Dinov2Config):\n    model_type = 'third'\n"
        "class ThirdModel(Dinov2Model):\n    config_class = ThirdConfig\n"
        "class ThirdStream(Dinov2Stream):\n    pass\n"
        "AutoConfig.register('third', ThirdConfig)\n"
        "THIRD = EncoderFamily('Third', (Tower('images', 'thirdparty:ThirdStream', 'thirdparty:ThirdModel'),))\n"
    )
    monkeypatch.syspath_prepend(package)
    from thirdparty import ThirdConfig, ThirdModel, ThirdStream

    assert "third" in registry.names("encoders")
    stream = ThirdStream(ThirdModel(ThirdConfig(**TINY)).eval(), make_stream("dinov2").input)
    save_stream(stream, tmp_path / "encoder")
    loaded = load_stream(str(tmp_path / "encoder"), size=16)
    assert isinstance(loaded, ThirdStream)
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(loaded(image), stream.encoder(image).last_hidden_state)


@pytest.fixture
def two_towers(monkeypatch, tmp_path, make_stream) -> Path:
    """Provide the folder of a checkpoint with two image encoders, one of which a family declares to read sounds."""
    towers = (
        Tower(
            "images", f"{MODULE}:OtherStream", "transformers:Dinov2Model", config="vision_config", prefixes=("left.",)
        ),
        Tower("text", "bench.streams.postnorm:BertStream", "transformers:BertModel", config="text_config"),
    )
    two = EncoderFamily("Two", towers)
    monkeypatch.setitem(registry._added["encoders"], "vision-text-dual-encoder", two)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(Dinov2Config(**TINY), ViTConfig(**TINY))
    encoder = Dinov2Model(config.vision_config).eval()
    save_stream(Dinov2Stream(encoder, make_stream("dinov2").input), tmp_path)
    config.save_pretrained(tmp_path)
    from safetensors.torch import save_file

    weights = {f"left.{name}": value for name, value in encoder.state_dict().items()}
    extra = {"right.embeddings.weight": torch.zeros(2)}
    save_file(weights | extra, tmp_path / "model.safetensors", {"format": "pt"})
    return tmp_path


def test_the_kind_of_input_chooses_one_tower_and_only_its_weights_are_loaded(two_towers):
    stream = load_stream(str(two_towers), "images", size=16)
    image = torch.rand(1, 3, 16, 16)
    assert type(stream).__name__ == "OtherStream"
    assert stream.encoder.config.model_type == "dinov2"
    torch.testing.assert_close(stream(image), stream.encoder(image).last_hidden_state)
    outline = outline_stream(str(two_towers), "images", size=16)
    assert {name for name, _ in outline.named_parameters()} == {name for name, _ in stream.named_parameters()}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (None, "the encoder has towers for images and text: name one"),
        ("sounds", "the encoder reads images or text, not sounds"),
    ],
)
def test_a_tower_that_is_not_there_or_not_chosen_is_an_error(two_towers, kind, message):
    with pytest.raises(UsageError, match=message):
        load_stream(str(two_towers), kind)
