"""The fused form against the plain one: equal outputs and equal gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.config import validate as method_settings
from bench.methods import lowrank
from bench.methods.cola import CrossModal
from bench.methods.fused_linears import FusedExchange
from bench.methods.inter_modal_adapter import attach_inter_modal, inter_modal_tensors

TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}
METHODS = {
    "cola": {"r": 3, "alpha": 2.0, "inter_r": 4},
    "cola-dora": {"r": 3, "alpha": 2.0},
    "cola-adalora": {"init_r": 4, "alpha": 3.0},
    "cola+head": {"inter_r": 3},
    "cola+full": {"inter_r": 3},
    "cola+peft:ia3": {"inter_r": 3},
    "cola+peft:vera": {"r": 6, "inter_r": 2},
}
THREE = {"vision": 2, "audio": 3, "audio2": 2}


def attached(make_model, name: str, fused: bool, depths=None, **values):
    kind = registry.load("methods", name)
    values = {"reduction": 4, **values} if issubclass(kind, CrossModal) else values
    method = method_settings.build(kind, values, name)
    type(method).fused = fused
    try:
        model = make_model(depths) if depths else make_model()
        torch.manual_seed(0)
        method.attach(model)
    finally:
        del type(method).fused
    model.double()
    generator = torch.Generator().manual_seed(4)
    inter = inter_modal_tensors(model)
    trained = [p for p in model.streams.parameters() if p.requires_grad]
    with torch.no_grad():
        for tensor in [*trained, *inter.values()]:
            tensor += torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.3
    return method, model


def descended(model, outputs) -> dict[str, torch.Tensor]:
    """Every trained parameter after a step of gradient descent, by the names of the plain form."""
    sum(y.sin().sum() for y in outputs.values()).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= parameter.grad
    return {**dict(model.streams.named_parameters()), **inter_modal_tensors(model)}


@pytest.mark.parametrize("depths", [None, THREE])
@pytest.mark.parametrize("name", METHODS)
def test_outputs_and_gradients_are_those_of_the_plain_form(make_model, make_inputs, name, depths):
    actual = []
    for fused in (True, False):
        _, model = attached(make_model, name, fused, depths, **METHODS[name])
        assert any(isinstance(exchange, FusedExchange) for _, exchange in model.exchanges()) == fused
        inputs = make_inputs(model)
        inputs["audio"].requires_grad_()
        outputs = model(inputs)
        actual.append(({k: v.detach() for k, v in outputs.items()}, descended(model, outputs), inputs["audio"].grad))
    (y, parameters, gx), (expected_y, expected, expected_gx) = actual
    torch.testing.assert_close(y, expected_y, **TOLERANCE)
    torch.testing.assert_close(gx, expected_gx, **TOLERANCE)
    assert list(parameters) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(parameters[key], value, **TOLERANCE, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"shared": True},
        {"joint": True},
        {"joint": True, "shared": True, "paths": ("audio>vision", "text>vision", "text>audio")},
        {"paths": ("audio>vision", "text>vision")},
        {"paths": ("vision>text", "text>audio")},
    ],
    ids=["all", "shared", "joint", "joint and shared", "into vision", "with text"],
)
@pytest.mark.parametrize("name", ["cola", "cola-dora"])
def test_three_streams_with_different_rows_give_those_of_the_plain_form(make_model, make_inputs, name, values):
    actual = []
    for fused in (True, False):
        _, model = attached(make_model, name, fused, {"vision": 2, "audio": 3, "text": 2}, **METHODS[name], **values)
        inputs = make_inputs(model, batch=6)
        inputs = {**inputs, "text": inputs["text"][::3], "audio": inputs["audio"].requires_grad_()}
        outputs = model(inputs, frames=3)
        actual.append(({k: v.detach() for k, v in outputs.items()}, descended(model, outputs), inputs["audio"].grad))
    torch.testing.assert_close(actual[0], actual[1], **TOLERANCE)


@pytest.mark.parametrize("name", ["lora", "dora", "adalora"])
def test_without_partners_outputs_and_gradients_are_those_of_peft(make_model, make_inputs, name):
    actual = []
    for by_itself in (True, False):
        rank = {"init_r": 4} if name == "adalora" else {"r": 3}
        method, model = attached(make_model, name, True, alpha=2.0, **rank)
        for stream in model.streams.values():
            assert stream.default_evaluator is not None
            stream.default_evaluator = stream.default_evaluator if by_itself else None
        inputs = make_inputs(model)
        inputs["audio"].requires_grad_()
        outputs = model(inputs)
        parameters = descended(model, outputs)
        assert method.merge()
        merged = model(inputs)
        method.unmerge()
        actual.append(({k: v.detach() for k, v in outputs.items()}, parameters, inputs["audio"].grad, merged))
    for first, second in zip(*actual, strict=True):
        torch.testing.assert_close(first, second, **TOLERANCE)


@pytest.mark.parametrize("name", ["lora", "dora", "adalora", *METHODS])
def test_without_gradients_outputs_are_the_same(make_model, make_inputs, monkeypatch, name):
    _, model = attached(make_model, name, True, **METHODS.get(name, {}))
    folded = []
    fold = lowrank._folded
    monkeypatch.setattr(lowrank, "_folded", lambda linear: folded.append(linear) or fold(linear))
    inputs = make_inputs(model)
    with_gradients = model(inputs)
    assert not folded
    with torch.inference_mode():
        torch.testing.assert_close(model(inputs), with_gradients, **TOLERANCE)
    assert folded
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), with_gradients, **TOLERANCE)


@pytest.mark.parametrize("name", ["cola", "cola-dora"])
def test_merged_and_with_dropout(make_model, make_inputs, name):
    actual = []
    for fused in (True, False):
        method, model = attached(make_model, name, fused, **METHODS[name], dropout=0.5)
        inputs = make_inputs(model)
        torch.manual_seed(1)
        dropped = model.train()(inputs)
        model.eval()
        unmerged = model(inputs)
        assert not torch.allclose(dropped["vision"], unmerged["vision"])
        assert method.merge()
        torch.testing.assert_close(model(inputs), unmerged, **TOLERANCE)
        method.unmerge()
        actual.append((dropped, unmerged))
    torch.testing.assert_close(actual[0], actual[1], **TOLERANCE)


def test_attached_terms_start_with_the_same_values_in_both_forms(make_model):
    values = []
    for fused in (True, False):
        model = make_model(THREE)
        torch.manual_seed(3)
        attach_inter_modal(model, r=3, reduction=4, scale=0.5, fused=fused)
        values.append(inter_modal_tensors(model))
    assert list(values[0]) == list(values[1])
    assert all(torch.equal(values[0][key], values[1][key]) for key in values[0])


shapes = st.fixed_dictionaries(
    {
        "samples": st.integers(1, 3),
        "tokens": st.integers(1, 4),
        "features": st.integers(1, 5),
        "linears": st.lists(
            st.tuples(
                st.integers(1, 5),  # output features
                st.booleans(),  # a bias
                st.booleans(),  # evaluated by other means
                st.integers(0, 3),  # rank of the path without Phi; 0 for none
                st.lists(st.integers(1, 3), max_size=2),  # ranks of the paths with Phi
                st.booleans(),  # a gain, where there is a path without Phi
            ).filter(lambda linear: linear[3] or linear[4]),
            min_size=1,
            max_size=3,
        ),
        "wants_x": st.booleans(),
    }
)


@settings(max_examples=60, deadline=None)
@given(shape=shapes)
def test_the_operation_against_autograd(shape):
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).requires_grad_()

    samples, features = shape["samples"], shape["features"]
    x = draw(samples, shape["tokens"], features)
    leaves, linears, expected = [x] if shape["wants_x"] else [], [], []
    x = x if shape["wants_x"] else x.detach()
    for out, with_bias, evaluated, rank, inter, with_gain in shape["linears"]:
        weight, bias = draw(out, features).detach(), draw(out).detach() if with_bias else None
        base = torch.nn.functional.linear(x, weight, bias)
        y, paths = base, []
        gain = draw(out) if with_gain and rank and not evaluated else None
        if gain is not None:
            leaves.append(gain)
            y = gain * (x @ weight.T) + (0 if bias is None else bias)
        for path_rank, mixes in [(rank, False)] * bool(rank) + [(r, True) for r in inter]:
            A, B = draw(path_rank, features), draw(out, path_rank)
            phi = draw(samples, path_rank, path_rank) if mixes else None
            z = x @ A.T if phi is None else x @ A.T @ phi.mT
            y = y + z @ B.T * (1.0 if mixes else 0.7) * (1.0 if mixes or gain is None else gain)
            leaves += [A, B] if phi is None else [A, B, phi]
            paths.append(lowrank.Path(A, B, phi))
        expected.append(y)
        reference = (None, None, base) if evaluated else (weight, bias, None)
        linears.append(lowrank.Linear(*reference, 0.7, tuple(paths), gain))
    initial = copy.deepcopy([linear.output.detach() for linear in linears if linear.output is not None])
    actual = lowrank.apply(linears, x)
    torch.testing.assert_close(list(actual), expected, **TOLERANCE)
    final = [linear.output.detach() for linear in linears if linear.output is not None]
    assert all(torch.equal(a, b) for a, b in zip(initial, final, strict=True)), "outputs of others are left alone"
    gradients = [
        torch.autograd.grad(sum(y.sin().sum() for y in ys), leaves, retain_graph=True) for ys in (actual, expected)
    ]
    torch.testing.assert_close(*gradients, **TOLERANCE)


def test_autocast_does_not_round_a_gain():
    """In bfloat16 1.003 would be 1: DoRA could not learn what lies between."""
    x, weight, B = torch.ones(1, 64, 32), torch.rand(128, 32) + 0.5, torch.zeros(128, 1)
    actual = []
    for gain in (1.0, 1.003):
        path = lowrank.Path(torch.zeros(1, 32), B)
        linear = lowrank.Linear(weight, None, None, 1.0, (path,), torch.full((128,), gain))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (y,) = lowrank.apply([linear], x)
        assert y.dtype == torch.bfloat16
        actual.append(y.double().mean().item())
    assert actual[1] > actual[0]


@pytest.mark.parametrize("method", ["lora", "dora", "cola", "cola-dora"])
def test_autocast_computes_in_its_type_and_gives_gradients_in_the_parameters(make_model, make_inputs, method):
    model = make_model(dtype=torch.float32)
    method_settings.build(registry.load("methods", method), {"r": 3}, method).attach(model)
    inputs = make_inputs(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = sum(y.float().square().sum() for y in model(inputs).values())
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is not None:
            assert parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all(), name
    exact = sum(y.square().sum() for y in model(inputs).values())
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)
