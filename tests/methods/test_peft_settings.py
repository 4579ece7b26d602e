"""Every true or false, and every choice, of every type of PEFT's: it holds what a method must hold, or is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from importlib.util import find_spec
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from peft import PeftModel

from bench import registry
from bench.config import validate
from bench.config.plan import RunRequest, make_plan
from bench.errors import UsageError
from bench.methods.peft_types import config_classes

# As small as the tiny encoder, where PEFT's defaults do not suit it.
SMALL: dict[str, dict[str, Any]] = {
    "adamss": {"r": 8, "num_subspaces": 2},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 20},
    "gralora": {"r": 4},
    "oft": {"r": 0, "oft_block_size": 4},
    "pvera": {"r": 6},
    "road": {"group_size": 8},
    "tinylora": {"u": 4},
    "unilora": {"theta_d_length": 32},
    "vblora": {"num_vectors": 16, "vector_length": 4},
    "vera": {"r": 6},
    "waveft": {"n_frequency": 20},
}
EXTRA: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"init_lora_weights": "pissa_niter_4"}),
    ("lora", {"init_lora_weights": "pissa_niter_2", "use_rslora": True}),
    ("lora", {"init_lora_weights": "pissa_niter_2", "use_dora": True, "bias": "all"}),
    ("lora", {"init_lora_weights": "olora", "use_dora": True}),
    ("lora", {"init_lora_weights": "lora_ga"}),
    ("lora", {"init_lora_weights": "pissa_niter_"}),
    ("oft", {"coft": True, "eps": 1e-3}),
    ("tinylora", {"init_weights": "uniform"}),
    ("pvera", {"generator_seed": 1}),
]
# Those that start as another model than the frozen one, as PEFT's defaults or the method itself have it.
CHANGE_AT_ONCE = (
    "c3a",
    "deft para=True",
    "fourierft",
    "hra apply_GS=True",
    "tinylora init_weights='uniform'",
    "vblora",
)
# Of LoRA's initialisations: what needs data or quantised weights, and what stands for a number in PEFT's annotation.
NOT_BY_THEMSELVES = ("eva", "corda", "loftq", "lora_ga", "pissa_niter_[number of iters]", "pissa_niter_")
REFUSED = {
    *(("lora", repr({"init_lora_weights": value})) for value in NOT_BY_THEMSELVES),
    ("lora", "{'use_qalora': True}"),
    ("lora", "{'ensure_weight_tying': True}"),
    ("loha", "{'use_effective_conv2d': True}"),
    ("lokr", "{'use_effective_conv2d': True}"),
    ("adamss", "{'use_asa': True}"),
    ("adamss", "{'init_weights': None}"),
    ("c3a", "{'init_weights': None}"),
    ("hira", "{'init_weights': None}"),
    ("pvera", "{'sample_at_inference': True}"),
    ("pvera", "{'generator_seed': 1}"),
    ("vblora", "{'save_only_topk_weights': True}"),
}


def choices(hint: Any) -> list[Any]:
    """Return the possible values of a setting, if they can be listed."""
    if get_origin(hint) in (Union, UnionType):
        return [
            value for arg in get_args(hint) if arg is not NoneType or bool in get_args(hint) for value in choices(arg)
        ]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return {bool: [True, False], NoneType: [None]}.get(hint, [])


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, config in sorted(config_classes().items()):
        yield name, {}
        hints = get_type_hints(config)
        expected_values = validate.hints(registry.load("methods", f"peft:{name}"))
        for field in dataclasses.fields(config):
            if field.name in expected_values:
                values_of = ["all", f"{name}_only"] if field.name == "bias" else choices(hints[field.name])
                yield from ((name, {field.name: value}) for value in values_of if value != field.default)
    yield from EXTRA


def label(case: tuple[str, dict[str, Any]]) -> str:
    """Return the name of a case."""
    name, values = case
    return " ".join((name, *(f"{key}={value!r}" for key, value in values.items())))


def make(name, values):
    small = {"r": 2} if "r" in validate.hints(registry.load("methods", f"peft:{name}")) else {}
    return validate.build(
        registry.load("methods", f"peft:{name}"), small | SMALL.get(name, {}) | values, f"peft:{name}"
    )


def is_refused(name, values) -> bool:
    (key, value), *_ = *values.items(), (None, None)
    is_init = str(key).startswith("init_") and value is False
    return (name, repr(values)) in REFUSED or (is_init and name != "fourierft")


def train(model, x):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    for _ in range(2):
        tokens = model(x)["vision"]
        (tokens * torch.linspace(-1, 1, tokens.shape[-1])).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def everything(model) -> dict[str, torch.Tensor]:
    """All parameters and buffers, those of several places once."""
    return {key: value.clone() for key, value in (*model.named_parameters(), *model.named_buffers())}


@pytest.mark.parametrize("case", list(cases()), ids=label)
@pytest.mark.filterwarnings("ignore")
def test_a_setting_holds_what_a_method_must_hold_or_is_refused(case, make_model, make_inputs, tmp_path):
    name, values = case
    if is_refused(name, values):
        with pytest.raises(UsageError, match=f"peft:{name}: .*{next(iter(values))}"):
            make(name, values)
        return
    if name == "adamss" and find_spec("sklearn") is None:
        with pytest.raises(UsageError, match="peft:adamss: scikit-learn is required"):
            make(name, values)
        return
    model = make_model({"vision": 1}, dtype=torch.float32).eval()
    plain, x = copy.deepcopy(model), make_inputs(model)
    frozen = plain(x)["vision"]

    torch.manual_seed(0)
    method = make(name, values)
    method.attach(model)
    model.eval()
    if not label(case).startswith(CHANGE_AT_ONCE) or values.get("init_weights") is True:
        torch.testing.assert_close(model(x)["vision"], frozen, rtol=1e-4, atol=1e-5)

    initial, names = everything(model), set(method.adapter_names(model))
    train(model.train(), x)
    changed = {key for key, value in everything(model).items() if not torch.equal(value, initial[key])}
    assert changed <= names and len(changed) >= 0.9 * len(names), changed ^ names

    trained = model.eval()(x)["vision"]
    method.save(tmp_path)
    torch.manual_seed(77)  # what is saved must not hang on what an adapter happened to begin with
    second, fresh = copy.deepcopy(plain), make(name, values)
    fresh.attach(second)
    fresh.load(tmp_path)
    exact = "pissa_niter" not in label(case)  # its draw has moved another part of the weights, which are put back
    torch.testing.assert_close(
        second.eval()(x)["vision"], trained, rtol=0 if exact else 1e-4, atol=0 if exact else 1e-5
    )
    opened = PeftModel.from_pretrained(plain.streams["vision"].encoder, tmp_path / "vision").eval()
    torch.testing.assert_close(opened(x["vision"]).last_hidden_state, trained, rtol=1e-4, atol=1e-5)

    initial = everything(model)
    assert method.merge()
    torch.testing.assert_close(model(x)["vision"], trained, rtol=1e-4, atol=1e-5)
    method.unmerge()
    assert [key for key, value in everything(model).items() if not torch.equal(value, initial[key])] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "lora.init_lora_weights=eva",
            "init_lora_weights=eva is not supported: it starts from activations on training",
        ),
        ("lora.init_lora_weights=corda", "init_lora_weights=corda is not supported: it starts from covariances"),
        ("lora.init_lora_weights=lora_ga", "init_lora_weights=lora_ga is not supported: it starts from gradients"),
        ("lora.init_lora_weights=loftq", "init_lora_weights=loftq is not supported: it is for quantized weights"),
        ("lora.init_lora_weights=pissa_niter_[number of iters]", "or pissa_niter_<number>, not pissa_niter_[number of"),
        ("lora.init_lora_weights=pizza", "must be true or one of gaussian, mica, olora, orthogonal, pissa or pissa_"),
        ("vera.bias=some", "peft:vera.bias must be one of none, all, vera_only, not 'some'"),
        ("road.variant=road_3", "Invalid variant road_3 specified"),
    ],
)
def test_a_command_with_such_a_setting_ends_before_anything_is_loaded(change, message):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest("mini", [f"peft:{change.partition('.')[0]}"], ["ave"], [0], [f"peft:{change}"]))
    assert message in str(raised.value)


def test_what_began_as_a_part_of_the_weights_is_saved_as_a_plain_lora(make_model, make_inputs, tmp_path):
    model = make_model({"vision": 1}, dtype=torch.float32)
    method = make("lora", {"init_lora_weights": "pissa", "r": 3, "lora_alpha": 6})
    method.attach(model)
    method.save(tmp_path)
    config = json.loads((tmp_path / "vision" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (6, 12, True)
    assert method.adapters.models["vision"].peft_config["default"].r == 3, "training goes on with its own"


def test_pissa_runs_beside_the_inter_modal_path(make_model, make_inputs, tmp_path):
    outputs = []
    for folder in (None, tmp_path):
        model = make_model({"vision": 1, "audio": 1}, dtype=torch.float32)
        torch.manual_seed(len(outputs))
        values = {"r": 2, "init_lora_weights": "pissa_niter_1", "inter_r": 2, "reduction": 4}
        method = validate.build(registry.load("methods", "cola+peft:lora"), values, "cola+peft:lora")
        method.attach(model)
        if folder:
            method.load(folder)
        else:
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter += 0.05
            method.save(tmp_path)
        outputs.append(model.eval()(make_inputs(model)))
    for stream, tokens in outputs[0].items():
        torch.testing.assert_close(outputs[1][stream], tokens, rtol=1e-4, atol=1e-5)
