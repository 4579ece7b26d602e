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
from stream_states import states_of
from torch import Tensor, nn

from bench.methods.fused_linears import FusedExchange
from bench.methods.inter_modal import InterModal, PlainExchange
from bench.streams.additions import Exchange
from bench.streams.base import LinearEvaluator
from bench.streams.blocks import BlockStream

FILE = Path(os.environ.get("COLA_VECTORS") or Path(__file__).parents[1] / "data" / "cola_vectors.npz")
VECTORS = np.load(FILE)
CASES = sorted({key.partition("/")[0] for key in VECTORS})


class AdaptedLinear:
    """One linear with PEFT's LoRA and an inter-modal path, evaluated as a stream evaluates it."""

    def __init__(self, case: dict[str, Tensor], form: type[Exchange]) -> None:
        r, features = case["A_intra"].shape
        linear = nn.Linear(features, len(case["weight"]), dtype=torch.float64)
        encoder = nn.ModuleDict({"linear": linear})
        get_peft_model(encoder, LoraConfig(r=r, lora_alpha=case["scale_intra"].item() * r, target_modules=["linear"]))
        width = case["x_c"].shape[1]
        inter = InterModal((features, len(case["weight"])), width, r, len(case["hyper_fc1_bias"]), scale=0.0).double()
        values = {"A": "A_inter", "B": "B_inter", "scale": "scale_inter"}
        values |= {f"hyper.{n}": f"hyper_{n.replace('.', '_')}" for n, _ in inter.hyper.named_parameters()}
        inter.load_state_dict(
            {name: case[key].reshape(inter.get_parameter(name).shape) for name, key in values.items()}
        )
        self.exchange = form({"vision": {"q": {"partner": inter}}})
        self.stream = SimpleNamespace(encoder=encoder, linears=lambda block: {"q": "linear"})
        lora = encoder["linear"]
        self.frozen = {"weight": linear.weight, "bias": linear.bias}
        self.trained = {"A_intra": lora.lora_A["default"].weight, "B_intra": lora.lora_B["default"].weight}
        for name, parameter in (self.frozen | self.trained).items():
            parameter.data = case[name].clone()

    def __call__(self, x: Tensor, x_c: Tensor) -> Tensor:
        (y,) = BlockStream.apply_linears(self.stream, 0, ["q"], x, self.evaluator(x_c))
        return y

    def evaluator(self, x_c: Tensor) -> LinearEvaluator:
        return self.exchange.read(states_of({"partner": x_c}))["vision"]

    def gradients(self) -> dict[str, Tensor]:
        """By the names of the vectors; those of the inter-modal path by a step of gradient descent of size 1."""
        names = {f"{name.replace('.', '_')}": tensor for (_, _, _, name), tensor in self.exchange.tensors()}
        initial = {name: tensor.detach().clone() for name, tensor in names.items()}
        with torch.no_grad():
            for parameter in self.exchange.parameters():
                parameter -= parameter.grad
        actual = {name: initial[name] - tensor for name, tensor in names.items()}
        renamed = {"A": "A_inter", "B": "B_inter", "scale": "scale_inter"}
        return {renamed.get(name, name): value for name, value in actual.items()} | {
            name: parameter.grad for name, parameter in self.trained.items()
        }


@pytest.mark.parametrize("form", [FusedExchange, PlainExchange])
@pytest.mark.parametrize("name", CASES)
def test_reference_outputs_and_gradients(name, form):
    case = {key.partition("/")[2]: torch.from_numpy(VECTORS[key]) for key in VECTORS if key.startswith(f"{name}/")}
    layer = AdaptedLinear(case, form)
    x, x_c = case["x"].clone().requires_grad_(), case["x_c"].clone().requires_grad_()
    y = layer(x, x_c)
    (y * case["grad_y"]).sum().backward()

    torch.testing.assert_close(y, case["y"], rtol=0, atol=1e-9)
    actual = {"x": x.grad, "x_c": x_c.grad, **layer.gradients()}
    gradients = {key.removeprefix("grad_"): case[key] for key in case if key.startswith("grad_") and key != "grad_y"}
    assert len(gradients) >= 7
    for key, expected in gradients.items():
        expected = expected.reshape(actual[key].shape)
        torch.testing.assert_close(actual[key], expected, rtol=0, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")
