from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

from bench.errors import BenchError
from bench.methods.cola import CoLA
from bench.methods.lora import LoRA


def test_peft_opens_what_was_saved(make_model, make_inputs, tmp_path):
    for method in (LoRA(r=3, alpha=5.0), CoLA(r=3, alpha=5.0)):
        model = make_model()
        inputs = make_inputs(model)
        plain = {name: copy.deepcopy(stream.encoder) for name, stream in model.streams.items()}
        method.attach(model)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(std=0.3)
        folder = tmp_path / type(method).__name__
        method.save(folder)
        for name, stream in model.streams.items():
            opened = PeftModel.from_pretrained(plain[name], folder / name)
            expected = stream(inputs[name])  # a stream alone: the intra-modal path only
            torch.testing.assert_close(opened(inputs[name]).last_hidden_state, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", [LoRA, CoLA])
def test_save_and_load(method, make_model, make_inputs, tmp_path):
    model, reloaded = make_model(), make_model()
    first, second = method(r=4), method(r=4)
    first.attach(model)
    second.attach(reloaded)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.3)
    first.save(tmp_path)
    second.load(tmp_path)
    inputs = make_inputs(model)
    torch.testing.assert_close(reloaded(inputs), model(inputs), rtol=1e-12, atol=1e-12)


def test_another_adapter_is_refused(make_model, tmp_path):
    first, second, different = LoRA(r=4), LoRA(r=2), CoLA(r=4)
    for method in (first, second, different):
        method.attach(make_model())
    first.save(tmp_path)
    with pytest.raises(BenchError, match="settings"):
        second.load(tmp_path)
    with pytest.raises(BenchError, match="method LoRA"):
        different.load(tmp_path)
    with pytest.raises(BenchError, match="cannot read"):
        first.load(tmp_path / "nowhere")


@pytest.mark.parametrize("method", [LoRA, CoLA])
def test_merge_keeps_outputs_and_unmerge_gives_the_weights_back(method, make_model, make_inputs):
    model = make_model(dtype=torch.float32)
    adapter = method(r=4)
    adapter.attach(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.1)
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = make_inputs(model)
    expected = model(inputs)
    adapter.merge()
    adapter.merge()
    merged = model(inputs)
    folded = "streams.vision.encoder.layers.0.mlp.fc1.base_layer.weight"
    assert not torch.equal(initial[folded], model.state_dict()[folded])
    adapter.unmerge()
    torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model(inputs), expected)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, initial[name]), name


@pytest.mark.parametrize("values", [{"r": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_impossible_settings(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        LoRA(**values)
