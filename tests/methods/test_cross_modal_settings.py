"""The inter-modal path's settings, beside several intra-modal methods and between any number of streams."""

from __future__ import annotations

import json

import pytest
import torch
from stream_states import states_of

from bench import registry
from bench.config import validate
from bench.config.describe import assignments, setting
from bench.config.plan import RunRequest, make_plan
from bench.config.suite import parse_value
from bench.errors import UsageError
from bench.methods.base import Method
from bench.methods.cola import CoLA
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.streams.roles import STAGES

THREE = {"vision": 3, "audio": 2, "audio2": 2}


def make(name: str, **values) -> Method:
    return validate.build(registry.load("methods", name), values, name)


def paths(model) -> set[tuple[str, str]]:
    return {path for _, exchange in model.exchanges() for path in exchange.paths}


def matrices(model, name: str, stream: str = "") -> list[torch.Tensor]:
    """Return the parameters of a name of all terms, or of those of one stream."""
    return [p for key, p in inter_modal_tensors(model).items() if key.endswith(f".{name}") and key.startswith(stream)]


def shake(model) -> None:
    """Move every trained parameter from where it starts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)


@pytest.mark.parametrize("path", ["vision>audio", "audio > vision"])
def test_one_direction_leaves_the_source_alone(make_model, make_inputs, path, tmp_path):
    model, combined = make_model(), make_model()
    source, target = (name.strip() for name in path.split(">"))
    method = CoLA(r=2, reduction=4, paths=(path,))
    method.check_streams(list(model.streams))
    method.attach(model)
    CoLA(r=2, reduction=4).attach(combined)
    assert paths(model) == {(source, target)}
    assert matrices(model, "A", target) and not matrices(model, "A", source)
    assert [A.shape for A in matrices(model, "A")] == [A.shape for A in matrices(combined, "A", target)]

    shake(model)
    inputs = make_inputs(model)
    initial = model(inputs)
    for changed in (source, target):
        final = model({**inputs, changed: inputs[changed].flip(0)})
        assert not torch.allclose(final[changed], initial[changed])
        assert torch.allclose(final[source], initial[source]) == (changed == target)
        assert not torch.allclose(final[target], initial[target])

    method.save(tmp_path)
    saved = json.loads((tmp_path / "inter_modal" / "adapter_config.json").read_text())
    assert saved["paths"] == [f"{source}>{target}"]


def test_several_streams_may_tell_one(make_model, make_inputs):
    model = make_model(THREE)
    CoLA(r=2, reduction=4, paths=("vision>audio2", "audio>audio2")).attach(model)
    assert paths(model) == {("vision", "audio2"), ("audio", "audio2")}
    shake(model)
    inputs = make_inputs(model)
    initial = model(inputs)
    final = model({**inputs, "audio": inputs["audio"].flip(0)})
    torch.testing.assert_close(final["vision"], initial["vision"])
    assert not torch.allclose(final["audio2"], initial["audio2"])


def test_paths_between_other_streams_are_refused():
    for path, message in (
        ("vision>text", "this task has no stream text"),
        ("audio>audio", "connects a stream with itself"),
    ):
        method = CoLA(paths=(path,))
        with pytest.raises(ValueError, match=message):
            method.check_streams(["vision", "audio"])
    CoLA(paths=("text>audio",)).check_streams(["text", "audio", "vision"])


@pytest.mark.parametrize("fused", [True, False])
def test_shared_hypernetworks(make_model, make_inputs, monkeypatch, fused, tmp_path):
    """One for each direction, in all blocks and linears: as many parameters less, one Phi, and both forms are equal."""
    monkeypatch.setattr(CoLA, "fused", fused)
    model, reference = make_model(THREE), make_model(THREE)
    method = CoLA(r=2, reduction=4, shared=True)
    method.attach(model)
    CoLA(r=2, reduction=4).attach(reference)
    hypers = {key: p.numel() for key, p in inter_modal_tensors(reference).items() if ".hyper." in key}
    single = {
        (key.split(".")[0], key.split(".", 3)[3]): size for key, size in hypers.items()
    }  # by target, and by source
    sizes = [sum(p.numel() for p in module.parameters()) for module in (model, reference)]
    assert sizes[0] == sizes[1] - sum(hypers.values()) + sum(single.values())

    shake(model)
    plain = make_model(THREE)
    monkeypatch.setattr(CoLA, "fused", not fused)
    different = CoLA(r=2, reduction=4, shared=True)
    different.attach(plain)
    method.save(tmp_path)
    different.load(tmp_path)
    inputs = make_inputs(model)
    for name, states in model(inputs).items():
        torch.testing.assert_close(plain(inputs)[name], states, rtol=1e-9, atol=1e-9)
    sum(states.square().sum() for states in model(inputs).values()).backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "hyper" in n)


@pytest.mark.parametrize(
    ("values", "widths"),
    [
        ({"hidden": 5}, {"vision": {5}, "audio": {5}}),
        ({"hidden": {"vision": 3, "audio": 6}}, {"vision": {3}, "audio": {6}}),
        ({"hidden": {"vision": 3, "audio": 6}, "shared": True}, {"vision": {3}, "audio": {6}}),
        ({"hidden": {"audio": 6}, "paths": ("vision>audio",)}, {"vision": set(), "audio": {6}}),
    ],
)
def test_the_hidden_width_is_given_as_such(make_model, make_inputs, values, widths, tmp_path):
    """By the stream whose linears are adapted, whatever the width of the partner."""
    model = make_model()
    method = CoLA(r=2, **values)
    method.check_streams(list(model.streams))
    method.attach(model)
    assert {name: {b.numel() for b in matrices(model, "fc1.bias", name)} for name in model.streams} == widths
    shake(model)
    method.save(tmp_path)
    second = make_model()
    different = CoLA(r=2, **values)
    different.attach(second)
    different.load(tmp_path)
    inputs = make_inputs(model)
    for name, states in model(inputs).items():
        torch.testing.assert_close(second(inputs)[name], states, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": {"vision": 3, "text": 3}}, "hidden: text must be one of the streams vision, audio"),
        (
            {"hidden": {"vision": 3}},
            "hidden: audio reads another stream too: set its width, or one number for all streams",
        ),
    ],
)
def test_hidden_widths_of_other_streams_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CoLA(**values).check_streams(["vision", "audio"])


def test_hidden_widths_on_the_command_line():
    def settings_of(*sets):
        return make_plan(RunRequest("paper-avs", ["cola"], ["avs"], [0], sets))[0].settings

    assert settings_of("cola.hidden={vision = 4, audio=8}")["hidden"] == {"vision": 4, "audio": 8}
    assert settings_of("cola.hidden=4")["hidden"] == 4
    assert assignments({"hidden": {"vision": 4, "audio": 8}}) == "hidden={vision=4, audio=8}", "as --set takes it"
    assert parse_value(setting({"vision": 4, "audio": 8})) == {"vision": 4, "audio": 8}, "as does `run` of Python"
    reduced = settings_of("cola.hidden=none", "cola.reduction=2")
    assert reduced["reduction"] == 2 and "hidden" not in reduced
    assert "reduction" not in settings_of()
    message = {
        ("cola.hidden={visoin=4, audio=8}",): "cola on avs: hidden: visoin must be one of the streams vision, audio",
        ("cola.reduction=2",): "set hidden=none, or reduction=16, its default",
        ("cola.hidden={vision=1.5}",): r"cola.hidden.vision must be a whole number, not 1.5",
    }
    for sets, words in message.items():
        with pytest.raises(UsageError, match=words):
            settings_of(*sets)


@pytest.mark.parametrize(
    ("values", "blocks", "roles"),
    [
        ({"blocks": "first"}, {0}, {"q", "k", "v", "o", "fc1", "fc2"}),
        ({"blocks": "last"}, {1}, {"q", "k", "v", "o", "fc1", "fc2"}),
        ({"linears": "attention"}, {0, 1}, {"q", "k", "v", "o"}),
        ({"linears": "feed_forward", "blocks": "first"}, {0}, {"fc1", "fc2"}),
    ],
)
def test_where_the_path_is(make_model, make_inputs, values, blocks, roles):
    model = make_model({"vision": 2, "audio": 2})
    CoLA(r=2, reduction=4, **values).attach(model)
    places = {tuple(key.split(".")[1:3]) for key in inter_modal_tensors(model)}
    assert places == {(str(block), role) for block in blocks for role in roles}
    inputs = make_inputs(model)
    shake(model)
    assert not torch.allclose(model({**inputs, "audio": inputs["audio"].flip(0)})["vision"], model(inputs)["vision"])


def test_settings_that_came_later_leave_ids_alone():
    assert CoLA().to_config().keys() == {
        *("r", "alpha", "dropout", "inter_r", "inter_scale", "reduction", "summary", "paths")
    }
    changed = CoLA(shared=True, blocks="last", linears="attention").to_config()
    assert (changed["shared"], changed["blocks"], changed["linears"]) == (True, "last", "attention")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cola", {"r": 3}),
        ("cola-dora", {"r": 3}),
        ("cola-adalora", {"init_r": 4}),
        ("cola+peft:ia3", {"inter_r": 3}),
        ("cola+head", {"inter_r": 3}),
    ],
)
def test_three_streams_sum_over_their_partners(make_model, make_inputs, make_plain_term, name, values):
    model = make_model(THREE, dtype=torch.float32)
    inputs = make_inputs(model)
    frozen = model(inputs)
    method = make(name, reduction=4, **values)
    method.attach(model)
    torch.testing.assert_close(model(inputs), frozen)

    method.before_training(2)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        loss = sum((y * torch.linspace(-1, 1, y.shape[-1])).mean() for y in model(inputs).values())
        extra = method.loss()
        (loss if extra is None else loss + extra).backward()
        assert all(p.grad.any() for key, p in model.inter.named_parameters() if ".B." in key)
        optimizer.step()
        method.after_backward(step)
        optimizer.zero_grad()

    shake(model)
    assert all(tokens.isfinite().all() for tokens in model(inputs).values())
    assert paths(model) == {
        (source, target) for source in model.streams for target in model.streams if source != target
    }
    summaries = {name: torch.randn(3, stream.width) for name, stream in model.streams.items()}
    for stream_name, stream in model.streams.items():
        block = model.schedule[0][stream_name].paired
        for role, path in stream.linears(block).items():
            x = torch.randn(3, 5, stream.features(block, role)[0])
            expected = stream.encoder.get_submodule(path)(x)
            for different in model.streams.keys() - {stream_name}:
                term = make_plain_term(model, stream_name, block, role, different)(x, summaries[different])
                assert term.any()
                expected = expected + term
            stage = next(stage for stage, roles in STAGES.items() if role in roles)
            evaluator = model.inter["0"][stage][0].read(states_of(summaries))[stream_name]
            (actual,) = stream.apply_linears(block, (role,), x, evaluator)
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)  # of sums in another order


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cola+cola", r"cola\+cola: cola has the inter-modal path already"),
        ("cola+cola-dora", "cola-dora has the inter-modal path already"),
        ("cola+cola+peft:ia3", r"cola\+peft:ia3 has the inter-modal path already"),
        ("cola+loraa", "unknown method loraa: did you mean lora"),
        ("cola+peft:iaa3", "did you mean ia3"),
    ],
)
def test_what_the_path_does_not_go_beside(name, message):
    with pytest.raises(UsageError, match=message):
        registry.load("methods", name)


def test_beside_a_method_by_name_it_is_the_built_in_one(make_model):
    counts = {}
    for name in ("cola-dora", "cola+dora", "cola", "cola+lora"):
        model = make_model()
        method = make(name, r=3, reduction=4)
        method.attach(model)
        counts[name] = {key: model.get_parameter(key).shape for key in method.adapter_names(model)}
    assert counts["cola+dora"] == counts["cola-dora"]
    assert counts["cola+lora"] == counts["cola"]
    assert type(make("cola+dora")).__name__ == "cola+dora", "as it stands in a saved adapter"


@pytest.mark.parametrize(
    ("name", "values", "rank", "scale"),
    [
        ("cola", {"r": 5, "alpha": 2.0}, 5, 0.4),
        ("cola", {"r": 5, "inter_r": 3, "inter_scale": 0.1}, 3, 0.1),
        ("cola-dora", {"r": 4, "alpha": 1.0}, 4, 0.25),
        ("cola-adalora", {"init_r": 6, "alpha": 3.0}, 4, 0.5),
        ("cola-adalora", {"init_r": 6, "target_r": 2, "alpha": 3.0}, 2, 0.5),
        ("cola+head", {}, 16, 0.5),
        ("cola+peft:ia3", {"inter_r": 2, "inter_scale": 0.0}, 2, 0.0),
    ],
)
def test_rank_and_scale_follow_the_intra_modal_path(make_model, name, values, rank, scale):
    model = make_model(dtype=torch.float32)
    make(name, reduction=4, **values).attach(model)
    assert {A.shape[0] for A in matrices(model, "A")} == {rank}
    assert {B.shape[1] for B in matrices(model, "B")} == {rank}
    assert all(s.item() == pytest.approx(scale) for s in matrices(model, "scale"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inter_r": 0}, "inter_r must be at least 1"),
        ({"reduction": 0}, "reduction must be at least 1"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"hidden": {"vision": 0}}, "hidden must be at least 1"),
        ({"hidden": {}}, "hidden must be at least 1"),
        ({"hidden": 4, "reduction": 4}, "both set the hypernetworks' hidden width"),
        ({"paths": ("vision",)}, "write source>target, as in vision>audio, not vision"),
        ({"paths": ("a>b>c",)}, "write source>target, as in vision>audio, not a>b>c"),
        ({"r": 0}, "r must be at least 1"),
    ],
)
def test_settings_without_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CoLA(**values)


def test_partners_of_a_linear_have_one_term_together_if_they_are_joint(make_model, make_inputs, tmp_path):
    model = make_model({"vision": 2, "audio": 3, "text": 2})
    method = make("cola", r=3, reduction=4, joint=True)
    method.attach(model)
    assert {key.split(".")[3] for key in inter_modal_tensors(model)} == {"audio+text", "vision+text", "vision+audio"}
    assert len(paths(model)) == 6
    shake(model)
    inputs = make_inputs(model)
    outputs = model(inputs)
    for partner in ("audio", "text"):
        changed = model({**inputs, partner: inputs[partner].flip(0)})
        assert not torch.allclose(changed["vision"], outputs["vision"]), f"vision reads {partner}"
    method.save(tmp_path)
    again = make_model({"vision": 2, "audio": 3, "text": 2})
    loaded = make("cola", r=3, reduction=4, joint=True)
    loaded.attach(again)
    loaded.load(tmp_path)
    torch.testing.assert_close(again(inputs), outputs)


def test_one_partner_alone_has_the_same_term_whether_joint_or_not(make_model, make_inputs):
    outputs = []
    for joint in (True, False):
        torch.manual_seed(0)
        model = make_model({"vision": 2, "audio": 2})
        CoLA(r=3, reduction=4, joint=joint).attach(model)
        shake(model)
        outputs.append((model(make_inputs(model)), inter_modal_tensors(model)))
    torch.testing.assert_close(outputs[0], outputs[1])
