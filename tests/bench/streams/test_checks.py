"""Folders of encoders that would have transformers read or run something else are refused before it does."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.errors import BenchError
from bench.streams.load import load_stream, save_stream


@pytest.fixture
def folder(make_stream, tmp_path):
    save_stream(make_stream("vit", depth=1, dtype=torch.float32), tmp_path)
    return tmp_path


def refused(folder, match):
    with pytest.raises(BenchError, match=match) as caught:
        load_stream(str(folder))
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"attn_implementation": "kernels-community/flash-attn"}, "attention implementation other than eager and sdpa"),
        ({"_attn_implementation": "someone/kernels"}, "attention implementation other"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization_config"),
        ({"configuration_files": ["config.5.0.0.json"]}, "configuration_files"),
        ({"num_hidden_layers": 30_000}, "more than 1000 blocks"),
        ({"num_hidden_layers": 900}, "parameters, but the weights have"),
    ],
)
def test_a_config_that_asks_for_more_than_the_encoder(folder, changes, match):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    refused(folder, match)


def test_an_adapter_in_the_folder_of_an_encoder(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/encoder"}))
    refused(folder, "a PEFT adapter, not an encoder")


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/elsewhere.safetensors", "a\\b", "", None])
def test_weights_that_lie_elsewhere(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"embeddings": name}}))
    refused(folder, "names files in its folder")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"size": {"height": 10**9, "width": 10**9}}, "the side of images in pixels should be 1 to 8192"),
        ({"image_std": [0.0, 0.5, 0.5]}, "the standard deviation of inputs"),
        ({"image_mean": [0.5, 0.5, float("nan")]}, "the mean of inputs"),
    ],
)
def test_inputs_that_no_encoder_reads(folder, changes, match):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    refused(folder, match)


def test_token_ids_beyond_the_number_of_tokens(text_input, make_text_stream, tmp_path):
    save_stream(make_text_stream(text_input, dtype=torch.float32), tmp_path)
    path = tmp_path / "tokenizer.json"
    words = json.loads(path.read_text())
    words["model"]["vocab"]["dog"] = 10**6
    path.write_text(json.dumps(words))
    refused(tmp_path, "has 1000001 token ids")


def reweighted(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({name: change(name, tensor) for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def test_weights_of_other_shapes_name_one_of_them(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intermediate_size": 40}))
    refused(folder, r"do not fit its config\.json: \S+ has shape \(48,\), not \(40,\), and 2 more differ")


def test_weights_that_are_not_finite(folder):
    reweighted(folder, lambda name, tensor: tensor / 0 if name.endswith("layernorm.bias") else tensor)
    refused(folder, r"are not finite: layernorm\.bias")


def test_quantized_weights(folder):
    reweighted(folder, lambda name, tensor: tensor.to(torch.int8))
    refused(folder, r"model\.safetensors contains quantized weights \(I8\)")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_the_size_are_read(folder, dtype):
    reweighted(folder, lambda name, tensor: tensor.to(dtype))
    assert next(load_stream(str(folder)).parameters()).dtype == torch.float32


def test_a_size_without_a_height_can_be_set(folder):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": {"shortest_edge": 32}}))
    refused(folder, r"an image size without a height: {'shortest_edge': 32}\. .* \(vision\.size=224\)")
    assert load_stream(str(folder), size=32).input.size == 32
