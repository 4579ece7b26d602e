"""Equal budgets: what is asked for, what each method's size becomes, and what cannot be had."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.config import validate
from bench.config.budget import TOLERANCE, BudgetFit, _count, fit, plan_within
from bench.config.plan import RunRequest, make_plan
from bench.config.quantities import parameters as amount
from bench.config.spec import Spec
from bench.errors import UsageError
from bench.methods.base import Method
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream

MAX_VALUE = 2**16
LORA_AT_1 = 9216  # parameters of LoRA at rank 1 on the streams of `mini`: 64 wide, 4 blocks each


def spec_of(method: str, **values) -> Spec:
    return Spec("mock", "ave", method, 0, values, {}, {}, {}, {"source": "generated"})


def within(budget: str, methods: list[str], *sets: str) -> dict[str, tuple[Spec, BudgetFit]]:
    """The run of each method on AVE of `mini`, and what it came to."""
    plan, fits = plan_within(RunRequest("mini", methods, ["ave"], overrides=sets, budget=budget))
    assert [spec.method for spec in plan] == methods
    return {spec.method: (spec, next(fit for fit in fits if fit.method == spec.method)) for spec in plan}


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("2%", 20_000),
        ("0.5%", 5_000),
        ("100%", 1_000_000),
        ("400k", 400_000),
        ("400K", 400_000),
        ("1.5M", 1_500_000),
        ("1.5m", 1_500_000),
        ("400000", 400_000),
        ("400,000", 400_000),
        ("1_400_000", 1_400_000),
    ],
)
def test_sizes_of_streams_with_a_million_parameters(text, parameters):
    assert amount(text)(1_000_000) == parameters


def test_the_name_of_a_method_is_no_size():
    assert amount("cola") is None
    assert amount("peft:vera") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colaa", "a method: unknown method colaa: did you mean cola"),
        ("-2%", "a method: unknown method -2%"),
        ("2 %", "a percentage (2%)"),
        ("%", "a percentage (2%)"),
        ("2G", "a number (400k, 1.5M)"),
        ("1e6", "a number (400k, 1.5M)"),
        ("1,5M", "a number (400k, 1.5M)"),
        ("peft:vara", "did you mean vera"),
    ],
)
def test_invalid_budgets_are_reported(text, message):
    with pytest.raises(UsageError) as raised:
        plan_within(RunRequest("mini", ["lora"], ["ave"], budget=text))
    (problem,) = raised.value.problems
    assert problem.startswith("--budget takes a percentage") and message in problem


@pytest.mark.parametrize("budget", ["0", "0%", "head"])
def test_a_budget_of_nothing_is_reported(budget):
    with pytest.raises(UsageError, match=f"--budget {budget}: on ave that is 0 trainable parameters"):
        within(budget, ["lora"])


def test_loras_rank_at_the_papers_cola_on_two_vit_b(tmp_path):
    """The published match: CoLA at rank 16 and LoRA at rank 54, from nothing but the encoders' configurations.

    Of one block a stream: both counts are so many times a block's.
    """
    from transformers import ViTConfig

    ViTConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    image = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(image))
    suite = tmp_path / "paper.toml"
    suite.write_text(f"""
        name = "paper"
        about = "two ViT-B"
        [data]
        [streams.vision]
        model = "{tmp_path}"
        [streams.audio]
        model = "{tmp_path}"
        [train]
        {"".join(f"{key} = 1{chr(10)}" for key in ("epochs", "batch_size", "eval_batch_size"))}
        {"".join(f"{key} = 0.5{chr(10)}" for key in ("lr_adapter", "lr_head", "weight_decay", "warmup", "clip"))}
        precision = "no"
        [tasks.ave]
        streams = ["vision", "audio"]
        [methods.lora]
        r = 16
        alpha = 8.0
    """)
    (lora,), (budget_fit,) = plan_within(RunRequest(str(suite), ["lora"], ["ave"], budget="cola"))
    assert (lora.settings["r"], lora.settings["alpha"]) == (54, 27.0)
    assert (budget_fit.target, budget_fit.parameters) == (17_826_192 / 12, 17_915_904 / 12)
    assert budget_fit.deviation == pytest.approx(0.005, abs=1e-4)


def test_all_methods_fit_the_size_of_cola_on_the_embedded_encoders():
    fitted = within("cola", ["lora", "dora", "adalora", "cola-dora", "cola"])
    plain = {spec.method: spec.settings for spec in make_plan(RunRequest("mini", list(fitted), ["ave"]))}
    assert fitted["cola"][0].settings == plain["cola"]
    assert fitted["cola"][1] == BudgetFit("ave", "cola", fitted["cola"][1].parameters, fitted["cola"][1].parameters, {})
    for name, (spec, budget_fit) in fitted.items():
        assert budget_fit.target == fitted["cola"][1].parameters
        assert abs(budget_fit.deviation) <= 0.05
        streams = MultiStream({stream: load_stream(source["model"]) for stream, source in spec.streams.items()})
        method = validate.build(registry.load("methods", name), spec.settings, name)
        method.attach(streams)
        assert (
            sum(streams.get_parameter(key).numel() for key in method.adapter_names(streams)) == budget_fit.parameters
        ), name
        rank = "init_r" if "adalora" in name else "r"
        ratio = plain[name]["alpha"] / plain[name][rank]
        assert spec.settings["alpha"] / spec.settings[rank] == pytest.approx(ratio)
    assert fitted["lora"][0].settings["r"] > plain["lora"]["r"]


def test_the_reduction_makes_up_for_the_coarse_rank():
    budget_fit = within("16000", ["cola+head"])["cola+head"][1]
    assert abs(budget_fit.deviation) <= TOLERANCE
    assert set(budget_fit.chosen) == {"inter_r", "reduction"}


@pytest.mark.parametrize(("hidden", "expected"), [(3, 5), ({"vision": 2, "audio": 6}, {"vision": 5, "audio": 15})])
def test_the_hidden_width_makes_up_in_place_of_the_reduction(hidden, expected):
    """By stream it keeps its proportions; a budget leaves the one of --set alone."""

    def count(values):
        widths = values["hidden"]
        return 1000 * values["inter_r"] + 100 * (sum(widths.values()) if isinstance(widths, dict) else widths)

    spec = spec_of("cola+head", hidden=hidden, inter_r=1)
    target = count({"inter_r": 1, "hidden": expected})
    assert fit(spec, target, count, fixed=("cola+head.inter_r",)).chosen == {"hidden": expected}
    with pytest.raises(UsageError, match="none of its settings changes that"):
        fit(spec, target, count, fixed=("cola+head.inter_r", "cola+head.hidden"))


def test_a_setting_that_was_given_stays():
    with pytest.raises(UsageError, match=r"closest is .* with inter_r=\d+$"):
        within("16000", ["cola+head"], "cola+head.reduction=8")
    with pytest.raises(UsageError) as raised:
        within("2%", ["lora", "cola"], "lora.r=8", "cola.r=2", "cola.reduction=4")
    assert raised.value.problems == [
        f"--set {key}: --budget chooses its value; give only one of them" for key in ("lora.r", "cola.r")
    ]
    places = {"lora.r": "set.lora.r", "budget": "stages.main.budget"}
    with pytest.raises(UsageError, match=r"^set\.lora\.r: stages\.main\.budget chooses its value"):
        plan_within(RunRequest("mini", ["lora"], ["ave"], overrides=["lora.r=8"], budget="2%", places=places))


def test_the_method_that_the_others_are_measured_by_may_be_given_a_size():
    fitted = within("cola", ["lora", "cola"], "cola.r=2")
    assert fitted["cola"][0].settings["r"] == 2
    assert 2 * 2 * LORA_AT_1 < fitted["lora"][1].target == fitted["cola"][1].parameters < 2 * 4 * LORA_AT_1
    assert fitted["lora"][0].settings["r"] in (5, 6, 7)


def test_all_methods_that_cannot_come_near_are_reported_together():
    with pytest.raises(UsageError) as raised:
        within("27k", ["full", "head", "peft:loha", "lora"])
    full, head, loha = raised.value.problems
    far = "cannot come within 5% of 27,000 trainable parameters on ave:"
    assert full == f"full {far} it trains 482,112, and none of its settings changes that"
    assert head == f"head {far} it trains 0, and none of its settings changes that"
    assert loha == f"peft:loha {far} the closest is 18,432 with r=1, alpha=1"


def test_a_method_that_cannot_be_attached_is_reported():
    with pytest.raises(UsageError, match=r"^sized cannot be attached to the streams of ave with these settings"):
        fit(SIZED, 1000, lambda values: None)


@dataclass
class Sized(Method):
    """A method with two size settings, made up."""

    size: int = 7
    finer: int = 7
    double: int = 14

    @property
    def size_settings(self):
        return ("size", "finer")

    def with_size(self, setting, value):
        return {setting: value, "double": 2 * value} if setting == "size" else {setting: value}

    def attach(self, model):
        raise NotImplementedError


@pytest.fixture(scope="module", autouse=True)
def sized():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._added["methods"], "sized", Sized)
        yield


SIZED = spec_of("sized", size=7, finer=7)
rising = st.tuples(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(0, 3)).map(
    lambda n: lambda value: n[0] + n[1] * value + n[2] * value**2
)
falling = st.tuples(st.integers(1, 10**4), st.integers(1, 10**8)).map(lambda n: lambda value: n[0] + n[1] // value)


def best(count, target: int, low: int = 1, high: int = MAX_VALUE) -> int:
    """The value of a monotone count that is nearest to the target, by halving."""
    up = count(high) > count(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (count(middle) <= target) == up else (low, middle)
    return min(count(low), count(high), key=lambda parameters: abs(parameters - target))


@given(rising | falling, st.integers(1, MAX_VALUE), st.floats(0.8, 1.25))
def test_one_size_setting_comes_as_near_as_any_value_does(function, value, off):
    target = max(1, round(function(value) * off))

    def count(values):
        return function(values["size"]) if values["finer"] == 7 else None

    nearest = best(function, target)
    if abs(nearest / target - 1) > TOLERANCE:
        with pytest.raises(UsageError, match="cannot come within 5%"):
            fit(SIZED, target, count)
        return
    budget_fit = fit(SIZED, target, count)
    assert budget_fit.parameters == count({**SIZED.settings, **budget_fit.chosen})
    assert abs(budget_fit.parameters - target) == abs(nearest - target)
    assert budget_fit.chosen == {} or budget_fit.chosen["double"] == 2 * budget_fit.chosen["size"]


@given(rising | falling, st.integers(0, 16), st.sets(st.integers(1, 9)), st.integers(1, 9))
def test_gaps_do_not_stop_the_search(function, power, gaps, default):
    """Where only some values go, as divisors do, the powers of two among them are all looked at."""

    def count(values):
        size = values["size"]
        allowed = size & (size - 1) == 0 or (size % 3 == 0 and size not in gaps) or size == default
        return function(size) if allowed else None

    target = function(2**power)
    budget_fit = fit(spec_of("sized", size=default, finer=7), target, count)
    assert abs(budget_fit.deviation) <= TOLERANCE
    assert budget_fit.parameters == count({"size": default, "finer": 7, **budget_fit.chosen})


@given(st.integers(5, 60), st.integers(1, 3), st.integers(4, 20), st.floats(0.0, 1.0))
def test_the_finer_setting_fills_up(coarse, fine, value, between):
    """The first setting's steps are far apart, the second one's are not."""

    def count(values):
        return 1000 * coarse * values["size"] + fine * values["finer"]

    target = round(1000 * coarse * (value + between) / 4) * 4
    budget_fit = fit(SIZED, target, count)
    assert abs(budget_fit.deviation) <= TOLERANCE
    assert budget_fit.parameters == count({**SIZED.settings, **budget_fit.chosen})


def test_a_size_setting_that_is_given_stays():
    def count(values):
        return 1000 * values["size"] + values["finer"]

    assert fit(SIZED, 1500, count).chosen == {"size": 1, "double": 2, "finer": 500}
    with pytest.raises(UsageError, match="closest is"):
        fit(SIZED, 1500, count, fixed=("sized.finer",))
    assert fit(SIZED, 7400, count, fixed=("sized.size",)).chosen == {"finer": 400}
    with pytest.raises(UsageError, match="none of its settings changes that"):
        fit(SIZED, 1500, count, fixed=("sized.size", "sized.finer"))


def test_tasks_of_the_same_streams_share_what_was_counted(monkeypatch):
    counted = []

    def counting(outline, spec, values):
        counted.append((spec.method, json.dumps(values)))
        return _count(outline, spec, values)

    monkeypatch.setattr("bench.config.budget._count", counting)
    _, fits = plan_within(RunRequest("mini", ["lora"], ["refcoco", "refcocog"], budget="cola"))
    assert [(fit.task, fit.parameters) for fit in fits] == [
        (task, fits[0].parameters) for task in ("refcoco", "refcocog")
    ]
    assert len(counted) == len(set(counted)) > 1


PATTERN = "lora.r={vision = 8, audio = {q = 4, v = 4, default = 2}}"


@pytest.mark.parametrize("budget", ["30k", "110k", "250k"])
def test_a_budget_keeps_the_proportions_of_a_pattern(budget):
    """A table given with --set too: it says how ranks relate, and the budget how large they are."""
    spec, budget_fit = within(budget, ["lora"], PATTERN)["lora"]
    assert abs(budget_fit.deviation) <= TOLERANCE
    ranks = spec.settings["r"]
    size, audio = ranks["vision"], ranks["audio"]
    assert size != 8 and audio == {"q": round(size / 2), "v": round(size / 2), "default": round(size / 4)}
    assert spec.settings["alpha"] / size == 2.0 / 8, "alpha / r of the largest rank stays"
    assert f"with r={{vision={size}, audio=" in budget_fit.summary


def test_a_budget_scales_one_rank_set_apart():
    (spec, _) = within("110k", ["lora"], "lora.r.vision=8")["lora"]
    ranks = spec.settings["r"]
    assert ranks.keys() == {"default", "vision"} and ranks["default"] == round(ranks["vision"] / 2)
    with pytest.raises(UsageError, match=r"--set lora\.r: --budget chooses its value"):
        within("110k", ["lora"], "lora.r=8")


def test_a_budget_counts_what_is_adapted():
    budget = str(10 * LORA_AT_1)
    everywhere = within(budget, ["lora"])["lora"][0].settings["r"]
    limited = within(budget, ["lora"], "lora.streams=vision", "lora.blocks=last")["lora"][0].settings["r"]
    assert (everywhere, limited) == (10, 40)
