from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_states import states_of
from torch.nn import functional as F
from transformers import ViTConfig

from bench import registry
from bench.config.plan import RunRequest, make_plan
from bench.errors import UsageError
from bench.methods.base import Method
from bench.methods.cola import CoLA
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.methods.lora import LoRA
from bench.streams.inputs import ImageInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream
from bench.streams.roles import STAGES

IMAGE = ImageInput(size=224, mean=(0.5,) * 3, std=(0.5,) * 3)


@settings(max_examples=10, deadline=None)
@given(
    r=st.integers(1, 9),
    reduction=st.integers(1, 64),
    summary=st.sampled_from(["cls", "mean"]),
    depths=st.fixed_dictionaries({"vision": st.integers(1, 3), "audio": st.integers(1, 3)}),
)
def test_at_the_start_the_model_equals_the_frozen_one(make_model, make_inputs, r, reduction, summary, depths):
    model = make_model(depths)
    inputs = make_inputs(model)
    expected = model(inputs)
    CoLA(r=r, reduction=reduction, summary=summary).attach(model)
    assert {exchange.summary for _, exchange in model.exchanges()} == {summary}
    torch.testing.assert_close(model(inputs), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(r=st.integers(1, 9), k=st.integers(1, 40), vision=st.integers(1, 4), audio=st.integers(1, 4))
def test_parameters_equal_the_formula(make_model, r, k, vision, audio):
    model = make_model({"vision": vision, "audio": audio})
    CoLA(r=r, reduction=k).attach(model)
    expected = 0
    for name, width, inner, partner in (("vision", 32, 48, 24), ("audio", 24, 40, 32)):
        h = max(1, partner // k)
        hyper = partner * h + 3 * h + h * r**2 + 3 * r**2
        lora = r * sum((4 * (width + width), width + inner, inner + width))
        expected += model.streams[name].depth * lora + min(vision, audio) * (lora + 6 * (hyper + 1))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected


@pytest.mark.parametrize(("method", "expected"), [(CoLA(r=16, reduction=16), 17_826_192), (LoRA(r=54), 17_915_904)])
def test_published_parameter_counts(method, expected):
    """Two ViT-B-sized streams of 12 blocks."""
    with torch.device("meta"):
        model = MultiStream({name: build_stream(ViTConfig(), IMAGE) for name in ("vision", "audio")})
        method.attach(model)
    assert sum(model.get_parameter(name).numel() for name in method.adapter_names(model)) == expected


def test_scale_of_the_inter_modal_path(make_model):
    for inter_scale, expected in ((None, 0.25), (0.1, 0.1)):
        model = make_model(dtype=torch.float32)
        CoLA(r=8, alpha=2.0, inter_scale=inter_scale).attach(model)
        scales = [p for name, p in model.named_parameters() if name.endswith("scale")]
        assert scales and all(p.tolist() == [[[pytest.approx(expected)]]] * len(p) and p.requires_grad for p in scales)


def drawn(model: MultiStream, summary: str = "cls") -> MultiStream:
    """Attach CoLA and draw every parameter of its adapters."""
    CoLA(r=4, alpha=6.0, reduction=4, summary=summary).attach(model)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
    return model


def gradients(model: MultiStream, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a fixed weighted sum of the outputs, for every trained parameter."""
    generator = torch.Generator().manual_seed(3)
    loss = sum((y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs.values())
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return dict(zip(names, torch.autograd.grad(loss, [model.get_parameter(n) for n in names]), strict=True))


class Plain:
    """One stream's blocks written out from the weights, sharing no code with the streams."""

    def __init__(self, model: MultiStream, name: str) -> None:
        self.model, self.name = model, name
        self.stream, self.encoder = model.streams[name], model.streams[name].encoder

    def linear(self, block, role, x, x_c):
        layer = self.encoder.layers[block]
        base = getattr(layer.mlp, role) if role.startswith("fc") else getattr(layer.attention, f"{role}_proj")
        A, B = base.lora_A["default"].weight, base.lora_B["default"].weight
        y = x @ base.base_layer.weight.T + base.base_layer.bias + 1.5 * (x @ A.T @ B.T)
        if x_c is None:
            return y
        term = self.term(block, role)
        hidden = F.layer_norm(
            F.gelu(x_c @ term["hyper.fc1.weight"].T + term["hyper.fc1.bias"]),
            (len(term["hyper.fc1.bias"]),),
            term["hyper.norm1.weight"],
            term["hyper.norm1.bias"],
            1e-6,
        )
        phi = F.layer_norm(
            (hidden @ term["hyper.fc2.weight"].T + term["hyper.fc2.bias"]).reshape(-1, 4, 4),
            (4, 4),
            term["hyper.norm2.weight"].reshape(4, 4),
            term["hyper.norm2.bias"].reshape(4, 4),
            1e-6,
        )
        return y + term["scale"] * torch.einsum("bti,ri,bsr,os->bto", x, term["A"], phi, term["B"])

    def term(self, block, role):
        """Return the parameters of a term, not detached, cut from the stacked ones."""
        (step,) = [n for n, step in enumerate(self.model.schedule) if step[self.name].paired == block]
        stage = next(stage for stage, roles in STAGES.items() if role in roles)
        (exchange,) = self.model.inter[str(step)][stage]
        ((key, A),) = [(k, p) for k, p in exchange.A.items() if k.startswith(f"{self.name}:{role}:")]
        values = {"A": A, "B": exchange.B[key]}
        for rows, hyper in zip(exchange.rows, exchange.hypers, strict=True):
            for number, row in enumerate(rows):
                if ":".join(row) == key:
                    for name, parameter in hyper.named_parameters():
                        values[name.replace("_", ".")] = parameter[number].squeeze(0)
        return values

    def attend(self, block, x, x_c):
        h = self.encoder.layers[block].layernorm_before(x)
        heads = self.encoder.config.num_attention_heads
        q, k, v = (self.linear(block, role, h, x_c).reshape(*h.shape[:2], heads, -1) for role in "qkv")
        weights = torch.einsum("bthk,bshk->bhts", q, k) / q.shape[-1] ** 0.5
        return torch.einsum("bhts,bshk->bthk", weights.softmax(-1), v).flatten(2)

    def project(self, block, x, context, x_c):
        return x + self.linear(block, "o", context, x_c)

    def feed_forward(self, block, x, x_c):
        h = self.encoder.layers[block].layernorm_after(x)
        return x + self.linear(block, "fc2", F.gelu(self.linear(block, "fc1", h, x_c)), x_c)


@pytest.mark.parametrize("summary", ["cls", "mean"])
def test_two_streams_of_depths_3_and_2_written_out(make_model, make_inputs, summary):
    """Block 0 of vision meets block 0 of audio, block 1 is alone, block 2 meets block 1."""
    model = drawn(make_model(), summary)
    inputs = make_inputs(model)
    vision, audio = Plain(model, "vision"), Plain(model, "audio")
    v, a = vision.stream.embed(inputs["vision"]), audio.stream.embed(inputs["audio"])

    def vector(x):
        return x[:, 0] if summary == "cls" else x.mean(1)

    for v_block, a_block in ((0, 0), (2, 1)):
        if v_block == 2:
            v = vision.project(1, v, vision.attend(1, v, None), None)
            v = vision.feed_forward(1, v, None)
        v_context, a_context = vision.attend(v_block, v, vector(a)), audio.attend(a_block, a, vector(v))
        v, a = (
            vision.project(v_block, v, v_context, vector(a_context)),
            audio.project(a_block, a, a_context, vector(v_context)),
        )
        v, a = vision.feed_forward(v_block, v, vector(a)), audio.feed_forward(a_block, a, vector(v))
    expected = {"vision": vision.encoder.layernorm(v), "audio": audio.encoder.layernorm(a)}

    outputs = model(inputs)
    for name in expected:
        torch.testing.assert_close(outputs[name], expected[name], rtol=1e-10, atol=1e-10)
    expected_gradients = gradients(model, expected)
    for name, gradient in gradients(model, outputs).items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-9, atol=1e-9)


def test_gradients_reach_the_partner_through_its_summary(make_model, make_inputs):
    for method, reached in ((CoLA(r=4, reduction=4), True), (LoRA(r=4), False)):
        model = make_model()
        method.attach(model)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(std=0.3)
        inputs = make_inputs(model)
        inputs["audio"].requires_grad_()
        model(inputs)["vision"].sum().backward()
        assert (inputs["audio"].grad is not None) == reached
        audio_lora = model.get_parameter("streams.audio.encoder.layers.0.attention.q_proj.lora_A.default.weight")
        assert (audio_lora.grad is not None and audio_lora.grad.abs().max().item() > 1e-6) == reached


@pytest.mark.parametrize("depths", [{"vision": 3, "audio": 2}, {"vision": 2, "audio": 3, "audio2": 2}])
def test_gradient_checkpointing_gives_the_same_gradients(make_model, make_inputs, depths):
    model = drawn(make_model(depths))
    inputs = make_inputs(model)
    expected = gradients(model, model(inputs))
    model.gradient_checkpointing = True
    for name, gradient in gradients(model, model(inputs)).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-12)


def test_only_adapters_are_trained(make_model):
    model = make_model()
    method = CoLA(r=2)
    method.attach(model)
    names = method.adapter_names(model)
    assert names and all(".lora_" in name or name.startswith("inter.") for name in names)
    assert not any(p.requires_grad for n, p in model.named_parameters() if n not in names)


def test_the_path_and_the_exchange_of_another_method_are_both_evaluated(make_model, make_inputs):
    model, gates, paths = (make_model() for _ in range(3))
    inputs = make_inputs(model)
    for name, attached in (("cola+gated", model), ("gated", gates), ("cola+head", paths)):
        torch.manual_seed(1)
        registry.load("methods", name)().attach(attached)
    inter = inter_modal_tensors(model)
    assert inter.keys() == inter_modal_tensors(paths).keys()
    gated = {key: p for key, p in model.named_parameters() if ".gates." in key}
    assert gated.keys() == {key for key, _ in gates.named_parameters() if ".gates." in key}

    def set_values(gate: float, path: float) -> None:
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for key, parameter in sorted(gated.items()):
                parameter.copy_(gate * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
                gates.get_parameter(key).copy_(parameter)
            for key, tensor in sorted(inter.items()):
                value = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(path * value if key.endswith(".B") else 0.3 * value)
                inter_modal_tensors(paths)[key].copy_(tensor)

    set_values(gate=0.3, path=0.0)
    torch.testing.assert_close(model(inputs), gates(inputs), rtol=1e-10, atol=1e-10)
    set_values(gate=0.0, path=0.3)
    torch.testing.assert_close(model(inputs), paths(inputs), rtol=1e-10, atol=1e-10)
    set_values(gate=0.3, path=0.3)
    x, audio = torch.randn(3, 5, 32, dtype=torch.float64), torch.randn(3, 5, 24, dtype=torch.float64)
    stream = model.streams["vision"]
    linears = {role: stream.encoder.get_submodule(stream.linears(0)[role]) for role in "qkv"}
    states = states_of({"vision": x[:, 0], "audio": audio[:, 0]})
    gate, path = (exchange.read(states)["vision"](linears, x) for exchange in model.exchanges_at(0, "attend"))
    actual = model._exchange(0, "attend", {"vision": x, "audio": audio}, {}, {"vision": 1, "audio": 1})["vision"](
        linears, x
    )
    for number, linear in enumerate(linears.values()):
        expected = gate[number] + (path[number] - linear(x))
        torch.testing.assert_close(actual[number], expected, rtol=1e-10, atol=1e-10)


def test_each_exchange_reads_the_kind_of_summary_that_its_method_asks_for(make_model, make_inputs, monkeypatch):
    @dataclass
    class Means(registry.load("methods", "gated")):
        def attach(self, model):
            super().attach(model)
            model.summary = "mean"

    monkeypatch.setitem(registry._added["methods"], "means", Means)
    model = make_model()
    registry.load("methods", "cola+means")(summary="cls").attach(model)
    stream, kinds = model.streams["vision"], []
    original = stream.summary
    stream.summary = lambda x, kind, mask: (kinds.append(kind), original(x, kind, mask))[1]
    model(make_inputs(model))
    assert kinds == ["mean", "cls"] * (3 * len(model.schedule))


def test_a_way_to_evaluate_linears_holds_under_the_path(make_model, make_inputs, monkeypatch):
    @dataclass
    class Doubling(Method):
        def attach(self, model):
            super().attach(model)
            for stream in model.streams.values():
                stream.default_evaluator = lambda modules, x: [2 * module(x) for module in modules.values()]

    monkeypatch.setitem(registry._added["methods"], "doubling", Doubling)
    model, expected = make_model(), make_model()
    registry.load("methods", "cola+doubling")().attach(model)
    Doubling().attach(expected)
    torch.testing.assert_close(model(make_inputs(model)), expected(make_inputs(model)))


def test_a_setting_of_the_same_name_is_refused_before_anything_runs(monkeypatch):
    @dataclass
    class Summarising(Method):
        summary: str = "mean"

        def attach(self, model):
            super().attach(model)

    monkeypatch.setitem(registry._added["methods"], "summarising", Summarising)
    with pytest.raises(UsageError, match="summarising and the inter-modal path both have a setting summary"):
        make_plan(RunRequest("mini", ["cola+summarising"], ["ave"]))
