"""What holds for every method, whatever it is."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

from bench import registry
from bench.config import validate
from bench.methods.base import Method

SETTINGS = {
    "head": {},
    "full": {},
    "lora": {"r": 3},
    "dora": {"r": 3},
    "adalora": {"init_r": 4},
    "cola": {"r": 3, "reduction": 4},
    "cola-dora": {"r": 3, "reduction": 4},
    "cola-adalora": {"init_r": 4, "reduction": 4},
    "peft:vera": {"r": 6},
    "peft:ia3": {},
    "peft:oft": {"oft_block_size": 4},
    "peft:loha": {"r": 2},
    "peft:lokr": {"r": 2},
    "peft:ln_tuning": {},
    "peft:hra": {"r": 2},
    "peft:lily": {"r": 2},
    "peft:fourierft": {"n_frequency": 20},
    "cola+peft:ia3": {"inter_r": 2, "reduction": 4},
    "cola+peft:vera": {"r": 6, "inter_r": 2, "reduction": 4},
    "cola+peft:ln_tuning": {"inter_r": 2, "reduction": 4},
    "cola+head": {"inter_r": 2, "reduction": 4},
    # Of third parties, from conftest.py: an exchange of its own, and parameters beside those of PEFT.
    "gated": {},
    "cola+gated": {"inter_r": 2, "reduction": 4},
    "lora-and-norms": {"r": 3},
    "cola+lora-and-norms": {"r": 3, "reduction": 4},
}
EACH_METHOD = pytest.mark.parametrize("name", SETTINGS)
CHANGES_AT_ONCE = {"peft:fourierft"}  # PEFT draws its coefficients at random
WITHOUT_PEFT = {"head", "full", "cola+head", "gated", "cola+gated"}


def make(name: str) -> Method:
    return validate.build(registry.load("methods", name), SETTINGS[name], name)


def attached(name: str, model) -> Method:
    torch.manual_seed(0)  # some methods draw what they do not train
    method = make(name)
    method.attach(model)
    return method


def train(method: Method, model, inputs, steps: int = 3) -> None:
    trainable = [p for p in model.parameters() if p.requires_grad]
    method.before_training(steps)
    if not trainable:
        return
    optimizer = torch.optim.SGD(trainable, lr=0.1)
    for step in range(steps):
        loss = sum((y * torch.linspace(-1, 1, y.shape[-1], dtype=y.dtype)).mean() for y in model(inputs).values())
        extra = method.loss()
        (loss if extra is None else loss + extra).backward()
        optimizer.step()
        method.after_backward(step)
        optimizer.zero_grad()


def shake(model) -> None:
    """Move every trained parameter a little from where it starts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator).to(parameter)


@EACH_METHOD
def test_at_the_start_the_model_is_the_frozen_one(name, make_model, make_inputs):
    model = make_model(dtype=torch.float32)
    inputs = make_inputs(model)
    expected = model(inputs)
    attached(name, model)
    if name not in CHANGES_AT_ONCE:
        torch.testing.assert_close(model(inputs), expected, rtol=1e-5, atol=1e-5)


@EACH_METHOD
def test_training_changes_the_named_parameters_and_no_others(name, make_model, make_inputs):
    model = make_model(dtype=torch.float32)
    method = attached(name, model)
    names = set(method.adapter_names(model))
    assert names == {key for key, p in model.named_parameters() if p.requires_grad}
    initial = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    shake(model)
    train(method, model, make_inputs(model))
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, initial[key])}
    assert changed <= names
    assert len(changed) >= 0.9 * len(names), sorted(names - changed)
    assert method.active_parameters() <= sum(model.get_parameter(key).numel() for key in names)


@EACH_METHOD
def test_what_was_saved_is_loaded(name, make_model, make_inputs, tmp_path):
    model, second = make_model(dtype=torch.float32), make_model(dtype=torch.float32)
    inputs = make_inputs(model)
    method = attached(name, model)
    shake(model)
    train(method, model, inputs)
    method.save(tmp_path)
    attached(name, second).load(tmp_path)
    model.eval(), second.eval()
    torch.testing.assert_close(second(inputs), model(inputs))


@EACH_METHOD
def test_peft_opens_its_part_on_the_plain_encoder(name, make_model, make_inputs, tmp_path):
    model = make_model(dtype=torch.float32)
    plain = {key: copy.deepcopy(stream.encoder) for key, stream in model.streams.items()}
    inputs = make_inputs(model)
    method = attached(name, model)
    shake(model)
    train(method, model, inputs)
    method.save(tmp_path)
    folders = {path.parent.name for path in tmp_path.glob("*/adapter_config.json")} - {"inter_modal"}
    assert folders == (set() if name in WITHOUT_PEFT else set(model.streams))
    if name.endswith("lora-and-norms"):
        return  # PEFT knows nothing of the norms
    model.eval()
    for folder in folders:
        opened = PeftModel.from_pretrained(plain[folder].eval(), tmp_path / folder)
        by_itself = model.streams[folder](inputs[folder])  # the intra-modal path only
        torch.testing.assert_close(opened(inputs[folder]).last_hidden_state, by_itself, rtol=1e-5, atol=1e-5)


@EACH_METHOD
def test_merging_keeps_the_outputs_and_unmerging_gives_the_weights_back(name, make_model, make_inputs):
    model = make_model(dtype=torch.float32)
    inputs = make_inputs(model)
    method = attached(name, model)
    shake(model)
    model.eval()
    expected = model(inputs)
    initial = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert method.merge() == (name not in WITHOUT_PEFT | {"peft:lily"})
    method.merge()
    torch.testing.assert_close(model(inputs), expected, rtol=1e-5, atol=1e-5)
    method.unmerge()
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, initial[key]), key
    torch.testing.assert_close(model(inputs), expected)


@EACH_METHOD
def test_gradient_checkpointing_gives_the_same_gradients(name, make_model, make_inputs):
    model = make_model()
    inputs = make_inputs(model)
    attached(name, model)
    model.double()  # PEFT makes some of its matrices in float32
    shake(model)
    trainable = {key: p for key, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        pytest.skip("nothing is trained in the streams")
    actual = []
    for checkpointing in (False, True):
        model.gradient_checkpointing = checkpointing
        loss = sum((y * torch.linspace(-1, 1, y.shape[-1], dtype=y.dtype)).sum() for y in model(inputs).values())
        actual.append(torch.autograd.grad(loss, list(trainable.values()), allow_unused=True))
    assert any(gradient is not None and gradient.any() for gradient in actual[0])
    for key, plain, second in zip(trainable, *actual, strict=True):
        assert (plain is None) == (second is None), key
        if plain is not None:
            torch.testing.assert_close(second, plain, rtol=1e-10, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}")


@EACH_METHOD
def test_bfloat16_agrees_to_its_rounding(name, make_model, make_inputs):
    model = make_model(dtype=torch.float32)
    inputs = make_inputs(model)
    attached(name, model)
    shake(model)
    model.eval()
    expected = model(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        actual = model(inputs)
    for stream, tokens in actual.items():
        error = (tokens.float() - expected[stream]).norm() / expected[stream].norm()
        assert error < 10 * 2**-8, f"{stream}: {error:.3g}"  # some ten roundings lie one upon another
