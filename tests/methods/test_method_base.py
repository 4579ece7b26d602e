from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bench.errors import BenchError
from bench.methods.base import Method
from bench.methods.lora import LoRA


@dataclass
class Biases(Method):
    """Biases of all linears: what a method of a third party may look like."""

    last_blocks: int = 1

    def attach(self, model):
        super().attach(model)
        for stream in model.streams.values():
            for block in range(stream.depth - self.last_blocks, stream.depth):
                for path in stream.linears(block).values():
                    stream.encoder.get_submodule(path).bias.requires_grad_(True)


def test_an_outside_method_needs_attach_only(make_model, make_inputs, tmp_path):
    model, second = make_model(), make_model()
    method, different = Biases(last_blocks=2), Biases(last_blocks=2)
    method.attach(model)
    different.attach(second)
    names = method.adapter_names(model)
    assert len(names) == 24 and all(name.endswith("bias") for name in names)
    assert method.loss() is None
    for name in names:
        model.get_parameter(name).data.normal_()
    method.save(tmp_path)
    different.load(tmp_path)
    torch.testing.assert_close(second(make_inputs(model)), model(make_inputs(model)), rtol=1e-12, atol=1e-12)


def test_other_streams_are_refused(make_model, tmp_path):
    method, different = Biases(), Biases()
    method.attach(make_model({"vision": 3}))
    different.attach(make_model({"vision": 2}))
    method.save(tmp_path)
    with pytest.raises(BenchError, match="streams"):
        different.load(tmp_path)


@dataclass
class Odd(Biases):
    """Has a buffer that training changes, a tensor under two names, one that is scattered, and two in one memory."""

    def attach(self, model):
        super().attach(model)
        memory = torch.zeros(8)
        model.norm = nn.BatchNorm1d(4)
        model.one, model.scattered = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3, 2).mT)
        model.part, model.other_part = nn.Parameter(memory[:4]), nn.Parameter(memory[4:])
        model.norm.same = model.one


@dataclass
class OddLoRA(LoRA, Odd):
    """The same beside LoRA, which PEFT attaches later."""


@pytest.mark.parametrize("kind", [Odd, OddLoRA])
def test_whatever_training_changes_is_saved_once(make_model, tmp_path, kind):
    model, second = make_model(dtype=torch.float32), make_model(dtype=torch.float32)
    method, different = kind(), kind()
    method.attach(model)
    different.attach(second)
    generator = torch.Generator().manual_seed(4)
    assert len([name for name in method.adapter_names(model) if name.endswith("bias")]) == 13  # PEFT freezes them
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and (name.startswith("norm.") or model_trains(model, name)):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    model.norm.num_batches_tracked += 7
    method.save(tmp_path)
    different.load(tmp_path)
    actual = second.state_dict()
    assert all(torch.equal(actual[name], tensor) for name, tensor in model.state_dict().items())
    saved = load_file(tmp_path / "adapter.safetensors")
    assert "norm.running_var" in saved and not any(".lora_" in name for name in saved)
    assert sum(name in saved for name in ("one", "norm.same")) == 1


def model_trains(model, name):
    return name in dict(model.named_parameters()) and model.get_parameter(name).requires_grad


def test_a_saved_adapter_without_what_was_trained_is_refused(make_model, tmp_path):
    method, different = LoRA(), LoRA()
    method.attach(make_model())
    method.save(tmp_path)
    second = make_model()
    different.attach(second)
    second.more = nn.Parameter(torch.zeros(2))
    with pytest.raises(BenchError, match=r"adapter\.safetensors"):
        different.load(tmp_path)


def test_another_way_to_evaluate_linears_is_not_replaced(make_model):
    @dataclass
    class Doubling(Method):
        def attach(self, model):
            super().attach(model)
            for stream in model.streams.values():
                stream.default_evaluator = lambda modules, x: [2 * module(x) for module in modules.values()]

    @dataclass
    class Combined(LoRA, Doubling):
        pass

    with pytest.raises(BenchError, match=r"another base class has set Stream\.default_evaluator of vision"):
        Combined().attach(make_model())


def test_entry_points_are_light():
    heavy = "{'torch', 'transformers', 'peft'} & set(sys.modules)"
    code = f"import bench.methods.lora, bench.methods.cola, sys; print({heavy})"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
