"""The adapted linear against vectors computed in float64 with the layer of CoLA's authors.

The environment variable COLA_VECTORS names another file of the same form.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from bench.methods.crossmodal import InterModal
from bench.streams.base import Stream

FILE = Path(os.environ.get("COLA_VECTORS") or Path(__file__).parents[1] / "data" / "cola_vectors.npz")
VECTORS = np.load(FILE)
CASES = sorted({key.partition("/")[0] for key in VECTORS})


class AdaptedLinear:
    """One linear with PEFT's LoRA and an inter-modal path, evaluated as a stream evaluates it."""

    def __init__(self, case: dict[str, Tensor]) -> None:
        r, features = case["A_intra"].shape
        linear = nn.Linear(features, len(case["weight"]), dtype=torch.float64)
        encoder = nn.ModuleDict({"linear": linear})
        get_peft_model(encoder, LoraConfig(r=r, lora_alpha=case["scale_intra"].item() * r, target_modules=["linear"]))
        width = case["x_c"].shape[1]
        reduction = width // len(case["hyper_fc1_bias"])
        inter = InterModal((features, len(case["weight"])), width, r, reduction, scale=0.0).double()
        self.stream = SimpleNamespace(
            encoder=encoder, linears=lambda block: {"q": "linear"}, inter={"0": {"q": {"partner": inter}}}
        )
        lora = encoder["linear"]
        self.parameters: dict[str, nn.Parameter] = {
            "weight": linear.weight,
            "bias": linear.bias,
            "A_intra": lora.lora_A["default"].weight,
            "B_intra": lora.lora_B["default"].weight,
            "A_inter": inter.A,
            "B_inter": inter.B,
            "scale_inter": inter.scale,
        }
        for name, parameter in inter.hyper.named_parameters():
            self.parameters["hyper_" + name.replace(".", "_")] = parameter
        for name, parameter in self.parameters.items():
            parameter.data = case[name].clone()

    def __call__(self, x: Tensor, x_c: Tensor) -> Tensor:
        (y,) = Stream.apply_linears(self.stream, 0, ["q"], x, {"partner": x_c})
        return y


@pytest.mark.parametrize("name", CASES)
def test_reference_outputs_and_gradients(name):
    case = {key.partition("/")[2]: torch.from_numpy(VECTORS[key]) for key in VECTORS if key.startswith(f"{name}/")}
    layer = AdaptedLinear(case)
    x, x_c = case["x"].clone().requires_grad_(), case["x_c"].clone().requires_grad_()
    y = layer(x, x_c)
    (y * case["grad_y"]).sum().backward()

    torch.testing.assert_close(y, case["y"], rtol=0, atol=1e-9)
    tensors = {"x": x, "x_c": x_c, **layer.parameters}
    gradients = {key.removeprefix("grad_"): case[key] for key in case if key.startswith("grad_") and key != "grad_y"}
    assert len(gradients) >= 7
    for key, expected in gradients.items():
        torch.testing.assert_close(tensors[key].grad, expected, rtol=0, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")
