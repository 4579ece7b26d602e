"""Which streams, linears and blocks a low-rank method adapts, and with which ranks."""

from __future__ import annotations

import copy
from math import isclose

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel

from bench import registry
from bench.config import validate
from bench.config.plan import _check_streams
from bench.errors import BenchError, UsageError
from bench.methods.base import Method
from bench.methods.cola import CoLA, CrossModal
from bench.methods.dora import DoRA
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.methods.lora import LoRA
from bench.methods.targets import all_ranks, rank_at, reference_rank, with_largest
from bench.tasks.ave import AVE

ROLES = ("q", "k", "v", "o", "fc1", "fc2")
DEPTHS = {"vision": 3, "audio": 2}
PATTERN = {"default": 2, "vision": {"q": 4, "k": 0, "2": 3}, "audio": {"v": {"0": 5}, "o": 1}}
SMALL = {"reduction": 4}


def make(name: str, **values) -> Method:
    return validate.build(registry.load("methods", name), values, name)


def shake(model) -> None:
    """Move every trained parameter from where it starts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)


def adapted(model) -> dict[tuple[str, int, str], int]:
    """Return the rank of the intra-modal path of each adapted linear, by stream, block and role."""
    ranks = {}
    for name, stream in model.streams.items():
        for block in range(stream.depth):
            for role, path in stream.linears(block).items():
                layer = stream.encoder.get_submodule(path)
                if hasattr(layer, "lora_A"):
                    A = layer.lora_A["default"]
                    ranks[name, block, role] = len(A if isinstance(A, torch.Tensor) else A.weight)
    return ranks


def expected_ranks(ranks, streams=(), linears=ROLES, blocks=range(9)) -> dict[tuple[str, int, str], int]:
    chosen = {
        (name, block, role): rank_at(ranks, name, role, block)
        for name, depth in DEPTHS.items()
        for block in range(depth)
        for role in ROLES
        if name in (streams or DEPTHS) and role in linears and block in blocks
    }
    return {linear: rank for linear, rank in chosen.items() if rank}


RANKS = st.integers(0, 5)
TABLES = st.recursive(
    RANKS,
    lambda inner: st.dictionaries(st.sampled_from(("default", "vision", "audio", *ROLES, "0", "1")), inner, min_size=1),
    max_leaves=6,
).filter(lambda ranks: any(all_ranks(ranks)))


def test_keys_of_a_table():
    assert rank_at(7, "vision", "q", 0) == 7
    assert [rank_at(PATTERN, "vision", role, 0) for role in ROLES] == [4, 0, 2, 2, 2, 2]
    assert [rank_at(PATTERN, "vision", role, 2) for role in ROLES] == [4, 0, 3, 3, 3, 3]
    assert [rank_at(PATTERN, "audio", role, 0) for role in ROLES] == [2, 2, 5, 1, 2, 2]
    assert [rank_at(PATTERN, "audio", role, 1) for role in ROLES] == [2, 2, 2, 1, 2, 2]
    assert rank_at({"vision": 3}, "audio", "q", 0) == 0
    assert [reference_rank(ranks) for ranks in (3, PATTERN, {"vision": 3, "q": 5}, {"default": 0, "q": 5})] == [
        3,
        2,
        5,
        5,
    ]


@given(TABLES, st.integers(1, 64))
def test_another_size_keeps_the_proportions(ranks, value):
    resized = with_largest(ranks, value)
    largest = max(all_ranks(ranks))
    pairs = list(zip(all_ranks(ranks), all_ranks(resized), strict=True))
    assert max(rank for _, rank in pairs) == value
    for before, after in pairs:
        assert (after == 0) == (before == 0)
        assert after == 0 or after == 1 or abs(after - before * value / largest) <= 0.5
    assert with_largest(ranks, largest) == ranks


@settings(max_examples=25, deadline=None)
@given(
    ranks=TABLES,
    streams=st.sampled_from([(), ("vision",), ("audio",), ("vision", "audio")]),
    linears=st.sampled_from(["all", "attention", "feed_forward", ("q", "v"), ("fc2",)]),
    blocks=st.sampled_from(["all", "first", "last", (0,), (1, 0)]),
)
def test_as_many_parameters_as_the_pattern_says(make_model, ranks, streams, linears, blocks):
    roles = {"all": ROLES, "attention": ROLES[:4], "feed_forward": ROLES[4:]}.get(linears, linears)
    expected = {}
    for name, depth in DEPTHS.items():
        numbers = {"all": range(depth), "first": range(depth // 2), "last": range(depth // 2, depth)}.get(
            blocks, blocks
        )
        chosen = expected_ranks(ranks, streams, roles, numbers)
        expected |= {linear: rank for linear, rank in chosen.items() if linear[0] == name}
    model = make_model(DEPTHS)
    method = LoRA(r=ranks, streams=streams, linears=linears, blocks=blocks)
    if not expected:
        with pytest.raises(BenchError, match="no linear is adapted"):
            method.attach(model)
        return
    method.attach(model)
    assert adapted(model) == expected
    features = {linear: sum(model.streams[linear[0]].features(*linear[1:])) for linear in expected}
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == sum(rank * features[linear] for linear, rank in expected.items())


@pytest.mark.parametrize("name", ["lora", "dora", "cola", "peft:lora", "peft:loha", "peft:lokr", "peft:delora"])
def test_a_pattern_is_trained_saved_and_loaded(make_model, make_inputs, tmp_path, name):
    """PEFT opens what is saved; all linears have the scale alpha / r of the reference rank."""
    model, second = make_model(), make_model()
    inputs = make_inputs(model)
    plain = {key: copy.deepcopy(stream.encoder) for key, stream in model.streams.items()}
    values = {"r": PATTERN, **(SMALL if name == "cola" else {})}
    method, different = make(name, **values), make(name, **values)
    method.attach(model)
    different.attach(second)
    if name in ("lora", "dora", "cola", "peft:lora"):
        assert adapted(model) == expected_ranks(PATTERN)
        layers = list(method.adapters.layers())
        assert len({layer.scaling["default"] for layer in layers}) == 1
    shake(model)
    method.save(tmp_path)
    different.load(tmp_path)
    torch.testing.assert_close(second(inputs), model(inputs), rtol=1e-12, atol=1e-12)
    for key, encoder in plain.items():
        opened = PeftModel.from_pretrained(encoder.eval(), tmp_path / key)
        expected = model.streams[key](inputs[key])  # a stream alone: the intra-modal path only
        torch.testing.assert_close(opened(inputs[key]).last_hidden_state, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("values", [{}, {"use_rslora": True}])
@pytest.mark.parametrize("init", [True, "pissa"])
def test_a_pattern_of_another_start(make_model, make_inputs, tmp_path, init, values):
    """PiSSA is saved as a LoRA of twice each rank."""
    model = make_model(dtype=torch.float32)
    inputs = make_inputs(model)
    plain = copy.deepcopy(model.streams["vision"].encoder)
    method = make("peft:lora", r={"vision": {"q": 4, "default": 2}}, init_lora_weights=init, lora_alpha=6, **values)
    method.attach(model)
    shake(model)
    scales = {layer.scaling["default"] for layer in method.adapters.layers()}
    assert all(isclose(scale, next(iter(scales))) for scale in scales)
    method.save(tmp_path)
    opened = PeftModel.from_pretrained(plain.eval(), tmp_path / "vision")
    actual = opened(inputs["vision"]).last_hidden_state
    torch.testing.assert_close(actual, model.streams["vision"](inputs["vision"]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["lora", "dora", "adalora", "cola", "cola-dora", "cola-adalora", "cola+lora", "peft:ia3", "peft:vera"]
)
def test_a_stream_that_is_not_adapted_has_no_folder(make_model, make_inputs, tmp_path, name):
    model, second, both = make_model(), make_model(), make_model()
    inputs = make_inputs(model)
    values = {
        "streams": ("audio",),
        **(SMALL if name.startswith("cola") else {}),
        **({"r": 6} if "vera" in name else {}),
    }
    method, different = make(name, **values), make(name, **values)
    method.check_streams(list(model.streams))
    before = model(inputs)
    method.attach(model)
    different.attach(second)
    assert not any(n.startswith("streams.vision") for n, p in model.named_parameters() if p.requires_grad)
    assert {path for _, exchange in model.exchanges() for path in exchange.paths} <= {("vision", "audio")}
    shake(model)
    after = model(inputs)
    assert torch.equal(after["vision"], before["vision"]) and not torch.allclose(after["audio"], before["audio"])
    method.save(tmp_path)
    assert (tmp_path / "audio").is_dir() and not (tmp_path / "vision").exists()
    different.load(tmp_path)
    torch.testing.assert_close(second(inputs), after, rtol=1e-12, atol=1e-12)
    everywhere = make(name, **{key: value for key, value in values.items() if key != "streams"})
    everywhere.attach(both)
    with pytest.raises(BenchError, match="settings"):
        everywhere.load(tmp_path)


@pytest.mark.parametrize("kind", [LoRA, DoRA, CoLA])
def test_merging_a_pattern(make_model, make_inputs, kind):
    model = make_model(dtype=torch.float32)
    inputs = make_inputs(model)
    method = kind(r=PATTERN, streams=("vision",), **(SMALL if kind is CoLA else {}))
    method.attach(model)
    shake(model)
    expected = model(inputs)
    assert method.merge()
    torch.testing.assert_close(model(inputs), expected, rtol=1e-4, atol=1e-4)
    method.unmerge()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model(inputs).items())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["cola", "cola-dora", "cola+lora"])
def test_the_inter_modal_path_follows_the_rank_of_its_linear(
    make_model, make_inputs, monkeypatch, tmp_path, name, shared
):
    """Both forms are equal, also where q has one rank and k has no intra-modal path."""
    models = []
    for fused in (True, False):
        monkeypatch.setattr(CrossModal, "fused", fused)
        models.append(make_model())
        method = make(name, r=PATTERN, shared=shared, **SMALL)
        method.attach(models[-1])
        if fused:
            shake(models[0])
            method.save(tmp_path)
    method.load(tmp_path)
    for key, tensor in inter_modal_tensors(models[0]).items():
        stream, block, role, _, parameter = key.split(".", 4)
        if parameter == "A":
            assert len(tensor) == (rank_at(PATTERN, stream, role, int(block)) or 2), "the default, if it has none"
    inputs = make_inputs(models[0])
    fused_states, plain_states = (model(inputs) for model in models)
    torch.testing.assert_close(fused_states, plain_states, rtol=1e-9, atol=1e-9)
    gradients = []
    for model, states in zip(models, (fused_states, plain_states), strict=True):
        sum(x.square().sum() for x in states.values()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if ".lora_" in n and p.requires_grad})
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-8)


def test_cola_chooses_the_linears_of_both_paths_separately(make_model):
    model = make_model()
    values = {"intra_linears": ("q", "v"), "intra_blocks": "first", "linears": "feed_forward", "blocks": "last"}
    method = CoLA(r=2, **values, **SMALL)
    method.attach(model)
    assert set(adapted(model)) == {("vision", 0, "q"), ("vision", 0, "v"), ("audio", 0, "q"), ("audio", 0, "v")}
    inter = {tuple(key.split(".")[:3]) for key in inter_modal_tensors(model)}
    assert inter == {(name, block, role) for name, block in (("vision", "2"), ("audio", "1")) for role in ROLES[4:]}
    assert CoLA(**values).to_config().items() >= values.items()
    assert not {"intra_linears", "intra_blocks", "streams"} & CoLA().to_config().keys()
    with pytest.raises(UsageError, match="intra_linears and intra_blocks cannot be set"):
        make("cola+full", intra_blocks="first")


def test_adalora_has_ranks_by_stream(make_model, make_inputs, tmp_path):
    model, second = make_model(), make_model()
    inputs = make_inputs(model)
    plain = copy.deepcopy(model.streams["audio"].encoder)
    values = {"init_r": {"vision": 6, "audio": 3}, "target_r": {"vision": 4, "default": 1}, "linears": "attention"}
    method, different = make("adalora", **values), make("adalora", **values)
    method.check_streams(list(model.streams))
    method.attach(model)
    different.attach(second)
    assert adapted(model) == {
        (name, block, role): {"vision": 6, "audio": 3}[name]
        for name, depth in DEPTHS.items()
        for block in range(depth)
        for role in ROLES[:4]
    }
    configs = {name: peft.peft_config["default"] for name, peft in method.adapters.models.items()}
    assert {name: config.target_r for name, config in configs.items()} == {"vision": 4, "audio": 1}
    assert {config.lora_alpha / config.init_r for config in configs.values()} == {method.scale}
    shake(model)
    method.save(tmp_path)
    different.load(tmp_path)
    torch.testing.assert_close(second(inputs), model(inputs), rtol=1e-12, atol=1e-12)
    opened = PeftModel.from_pretrained(plain.eval(), tmp_path / "audio")
    expected = model.streams["audio"](inputs["audio"])
    torch.testing.assert_close(opened(inputs["audio"]).last_hidden_state, expected, rtol=1e-9, atol=1e-9)
    changed = method.with_size("init_r", 12)
    assert changed == {"init_r": {"vision": 12, "audio": 6}, "target_r": {"vision": 8, "default": 2}, "alpha": 24.0}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lora", {"streams": ("visoin",)}, "lora on ave: streams: unknown stream visoin: did you mean vision"),
        ("lora", {"linears": ("atention",)}, "linears: unknown atention: did you mean attention"),
        ("cola", {"intra_linears": ("x",)}, "intra_linears: unknown x: "),
        ("lora", {"r": {"visoin": 8}}, "r: unknown key visoin: did you mean vision"),
        ("peft:loha", {"r": {"vision": {"w": 8}}}, "r: unknown key w: "),
        ("adalora", {"init_r": {"q": 8}}, "init_r: unknown stream q: known: audio, default, vision"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_loaded(name, values, message):
    with pytest.raises(UsageError, match=message):
        _check_streams(make(name, **values), name, ["vision", "audio"], AVE, "ave")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lora", {"linears": ()}, "linears is empty"),
        ("cola", {"intra_blocks": ()}, "intra_blocks is empty"),
        ("lora", {"blocks": (0, -1)}, "block -1 does not exist: the first is 0"),
        ("lora", {"r": {"vision": 0}}, "r must be at least 1, or in a table 0"),
        ("lora", {"r": {"vision": -3}}, "r must be at least 1, or in a table 0"),
        ("lora", {"r": {}}, "r must be at least 1, or in a table 0"),
        ("peft:lora", {"r": {"vision": 0}}, "r must be at least 1, or in a table 0"),
        ("adalora", {"init_r": {"vision": 1}}, "init_r must be at least 2, or in a table 0"),
        ("adalora", {"init_r": {"vision": 4, "audio": 8}, "target_r": 4}, "less than init_r, which is 4 for vision"),
        ("adalora", {"init_r": 4, "target_r": {"audio": 4}}, "less than init_r, which is 4 for audio"),
        ("lora", {"r": {"vision": 1.5}}, "lora.r.vision must be a whole number or a table"),
        ("lora", {"blocks": "middle"}, "lora.blocks must be one of all, first, last or a list, each a whole number"),
        ("peft:ln_tuning", {"linears": "attention"}, "ln_tuning trains the norms"),
    ],
)
def test_settings_that_cannot_be(name, values, message):
    with pytest.raises(UsageError, match=message):
        make(name, **values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lora", {"blocks": (0, 2)}, "blocks: audio has no block 2: it has blocks 0 to 1"),
        ("cola", {"intra_blocks": (3,)}, "intra_blocks: vision has no block 3"),
        ("lora", {"linears": ("q", "gate")}, "linears: the adapted streams have no gate, only fc1, fc2, k, o, q, v"),
        ("lora", {"r": {"audio": {"2": 4}}}, "r: there is no block 2, only blocks 0 to 1"),
        ("lora", {"r": {"3": 4}}, "r: there is no block 3, only blocks 0 to 2"),
        ("lora", {"r": {"audio": 4}, "streams": ("vision",)}, "no linear is adapted"),
        ("peft:ia3", {"linears": ("q",)}, "no linear is adapted"),
    ],
)
def test_parts_that_the_encoders_lack(make_model, name, values, message):
    with pytest.raises(BenchError, match=message):
        make(name, **values).attach(make_model())
