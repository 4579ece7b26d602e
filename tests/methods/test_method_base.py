from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from bench.errors import BenchError
from bench.methods.base import Method


@dataclass
class Biases(Method):
    """Biases of all linears: what a method of a third party may look like."""

    blocks: int = 1

    def attach(self, model):
        super().attach(model)
        for stream in model.streams.values():
            for block in range(stream.depth - self.blocks, stream.depth):
                for path in stream.linears(block).values():
                    stream.encoder.get_submodule(path).bias.requires_grad_(True)


def test_an_outside_method_needs_attach_only(make_model, make_inputs, tmp_path):
    model, again = make_model(), make_model()
    method, other = Biases(blocks=2), Biases(blocks=2)
    method.attach(model)
    other.attach(again)
    names = method.adapter_names(model)
    assert len(names) == 24 and all(name.endswith("bias") for name in names)
    assert method.loss() is None
    for name in names:
        model.get_parameter(name).data.normal_()
    method.save(tmp_path)
    other.load(tmp_path)
    torch.testing.assert_close(again(make_inputs(model)), model(make_inputs(model)), rtol=1e-12, atol=1e-12)


def test_other_streams_are_refused(make_model, tmp_path):
    method, other = Biases(), Biases()
    method.attach(make_model({"vision": 3}))
    other.attach(make_model({"vision": 2}))
    method.save(tmp_path)
    with pytest.raises(BenchError, match="streams"):
        other.load(tmp_path)


def test_entry_points_are_light():
    heavy = "{'torch', 'transformers', 'peft'} & set(sys.modules)"
    code = f"import bench.methods.lora, bench.methods.cola, sys; print({heavy})"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
