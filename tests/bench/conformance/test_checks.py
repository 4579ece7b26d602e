"""Each check finds the method that breaks it, and no other check is needed for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from bench import cli, registry
from bench.conformance import checks
from bench.conformance.checks import CHECKS
from bench.conformance.subject import Subject
from bench.conformance.suite import run_checks
from bench.methods.base import Method, ParameterGroup
from bench.methods.lora import LoRA
from bench.streams.additions import AddedTokens, SublayerAdapter


class Scale(SublayerAdapter):
    """y + s * change(x), with s = 0 at the start unless told otherwise."""

    def __init__(self, width, change=lambda x_BTD, states: x_BTD, reads=(), start=0.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), start))
        self.change, self.reads = change, frozenset(reads)

    def after(self, x_BTD, y_BTD, states):
        return y_BTD + self.scale * self.change(x_BTD, states)


@dataclass
class Sound(Method):
    """A method that satisfies every check."""

    options: ClassVar[dict] = {}

    def attach(self, model):
        super().attach(model)
        for name, stream in model.streams.items():
            for block in range(stream.depth):
                options = {key: value(name) if key == "reads" else value for key, value in self.options.items()}
                model.add_adapter(name, block, "feed_forward", Scale(stream.width_at(block), **options))


class StartsChanged(Sound):
    options: ClassVar = {"start": 0.1}


@dataclass
class WithoutDocstring(Method):
    def attach(self, model):
        super().attach(model)


class SearchesAMissingSetting(Sound):
    @property
    def search(self):
        return {"missing": None}


class TrainsMore(Sound):
    def after_backward(self, step):
        with torch.no_grad():
            self.model.streams["vision"].encoder.layernorm.weight.add_(0.1)


class TrainsNothing(Sound):
    """Its parameters require a gradient and take no part in the model."""

    def attach(self, model):
        super().attach(model)
        model.spare = nn.Linear(32, 32)


class ReadsInSecret(Sound):
    """Reads partners without a declaration."""

    def attach(self, model):
        Method.attach(self, model)
        model.add_adapter("vision", model.schedule[0]["vision"].paired, "attention", Scale(32, reads=["audio"]))


class ClaimsToRead(Sound):
    reads_partners = True


class GroupsTwice(Sound):
    def parameter_groups(self):
        group = ParameterGroup(self.adapter_names(self.model)[:1])
        return {"first": group, "second": group}


class GroupsBackwards(Sound):
    def parameter_groups(self):
        return {"first": ParameterGroup(self.adapter_names(self.model), lr_factor=-1.0)}


class AddsNaN(Sound):
    """Adds a term without a gradient, which spoils the loss and nothing else."""

    def loss(self):
        return torch.tensor(torch.nan)


class ForgetsWhatItSaved(Sound):
    def load(self, folder):
        self.check_description(folder)


class Pickles(Sound):
    def save(self, folder):
        super().save(folder)
        torch.save({}, folder / "adapter.pt")


class OpensInPeft(Sound):
    opens_in_peft = True


class MergesAsPromised(Sound):
    merges = True


class MergesForGood(LoRA):
    """Does not restore the weights."""

    def unmerge(self):
        return None


class CountsCalls(Sound):
    """Computes something else the second time, as gradient checkpointing shows."""

    def attach(self, model):
        super().attach(model)
        calls = []

        def change(x_BTD, states):
            calls.append(None)
            return x_BTD * len(calls)

        for adapter in model.adapters.modules():
            if isinstance(adapter, Scale):
                adapter.change = change


class Coarse(Sound):
    """Amplifies rounding."""

    options: ClassVar = {"change": lambda x_BTD, states: 1e3 * torch.sin(1e3 * x_BTD)}


class Lengthens(Sound):
    """Leaves the prompts among the tokens that heads see."""

    def attach(self, model):
        super().attach(model)

        class Prompts(AddedTokens):
            count = 2

            def __init__(self, width):
                super().__init__()
                self.values = nn.Parameter(torch.ones(2, width))

            def forward(self, block, previous_BPD):
                return self.values

        for name, stream in model.streams.items():
            model.add_tokens(name, Prompts(stream.width))
            stream.without_added = lambda x_BTD: x_BTD


class AttendsToPadding(Sound):
    options: ClassVar = {"change": lambda x_BTD, states: x_BTD.mean(1, keepdim=True)}


class MixesSamples(Sound):
    options: ClassVar = {"change": lambda x_BTD, states: x_BTD.mean((0, 1))}


class MixesVideos(Sound):
    """Averages over the neighbors in the batch, whatever sample they belong to."""

    options: ClassVar = {
        "change": lambda x_BTD, states: x_BTD.roll(1, 0) if next(iter(states.values())).frames > 1 else x_BTD,
        "reads": lambda name: (name,),
    }


@dataclass
class HasOneSize(Sound):
    """Its size setting changes nothing."""

    r: int = 1

    @property
    def size_settings(self):
        return ("r",)


@dataclass
class Displaces(LoRA):
    """Removes what another method has added."""

    def before_training(self, steps):
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and "inter" not in name)


class Fails(Sound):
    def attach(self, model):
        return 1 / 0


BROKEN = {
    "describes_itself": [WithoutDocstring, SearchesAMissingSetting],
    "starts_as_frozen": [StartsChanged],
    "trains_what_it_names": [TrainsMore, TrainsNothing],
    "says_if_it_reads_partners": [ReadsInSecret, ClaimsToRead],
    "attaches": [Fails],
    "groups_its_parameters": [GroupsTwice, GroupsBackwards],
    "adds_a_finite_term": [AddsNaN],
    "restores_what_it_saved": [ForgetsWhatItSaved, Pickles],
    "opens_in_peft": [OpensInPeft],
    "merges": [MergesAsPromised, MergesForGood],
    "survives_checkpointing": [CountsCalls],
    "agrees_in_bfloat16": [Coarse],
    "adapts_three_streams": [Lengthens],
    "ignores_padding": [AttendsToPadding],
    "separates_samples": [MixesSamples, MixesVideos],
    "grows_with_its_size": [HasOneSize],
    "trains_beside_cola": [Displaces],
}


@pytest.fixture
def add(monkeypatch):
    """Register a class for the test, as an installed package does, and return its name."""

    def register(cls) -> str:
        monkeypatch.setitem(registry._added["methods"], cls.__name__.lower(), cls)
        return cls.__name__.lower()

    return register


def test_a_sound_method_passes_every_check(add):
    outcomes = list(run_checks(Subject(add(Sound), {})))
    assert [outcome.check for outcome in outcomes if outcome.result == "fails"] == []
    assert len(outcomes) == len(CHECKS) and sum(outcome.result == "holds" for outcome in outcomes) >= 9


def test_every_check_can_fail():
    assert BROKEN.keys() == {check.__name__ for check in CHECKS}


PAIRS = [(check, cls) for check, classes in BROKEN.items() for cls in classes]


@pytest.mark.parametrize(("check", "cls"), PAIRS, ids=[cls.__name__ for _, cls in PAIRS])
def test_a_check_finds_the_method_that_breaks_it(check, cls, add):
    name = add(cls)
    with pytest.raises((AssertionError, RuntimeError, ZeroDivisionError)):
        getattr(checks, check)(Subject(name, {}))


def test_the_command_prints_what_fails_and_why(add, capsys):
    name = add(StartsChanged)
    assert cli.main(["check-method", name]) == 1
    output = capsys.readouterr().out
    assert re.search("^starts as frozen +fails ", output, re.MULTILINE) and "\nstarts as frozen fails: " in output
    assert f"{name}: 1 of {len(CHECKS)} checks fails" in output


def test_a_method_that_cannot_be_attached_is_told_once_with_type_and_place(add, capsys):
    assert cli.main(["check-method", add(Fails)]) == 1
    output = capsys.readouterr().out
    (place,) = re.findall(r"attaches fails: ZeroDivisionError: division by zero \((.*test_checks\.py), line", output)
    assert output.count("division by zero") == 1 and place == __file__
    assert output.count("not run: attach failed") == len(CHECKS) - 2, "all but what the class says of itself"
    assert f"fails: 1 of {len(CHECKS)} checks fails" in output


class Exits(Sound):
    def attach(self, model):
        raise SystemExit(0)


def test_a_method_that_ends_the_process_fails(add, capsys):
    assert cli.main(["check-method", add(Exits)]) == 1
    assert "attaches fails: SystemExit: 0 (" in capsys.readouterr().out


class FailsInTorch(Sound):
    options: ClassVar = {"change": lambda x_BTD, states: x_BTD @ torch.ones(1, 1)}


def test_the_place_is_in_the_code_of_the_method_where_torch_raised(add):
    failed = [outcome for outcome in run_checks(Subject(add(FailsInTorch), {})) if outcome.result == "fails"]
    line = FailsInTorch.options["change"].__code__.co_firstlineno
    assert len(failed) > 5 and all(f"({__file__}, line {line})" in outcome.reason for outcome in failed)


class FailsAtEverySize(LoRA):
    def before_training(self, steps):
        return None

    def attach(self, model):
        raise ValueError("no size is possible")


def test_a_method_that_cannot_be_attached_at_any_size_is_not_said_to_have_one(add):
    with pytest.raises(ValueError, match="no size is possible"):
        checks.grows_with_its_size(Subject(add(FailsAtEverySize), {}))


class ComputesNaN(Sound):
    """Divides 0 by 0 once it is trained."""

    options: ClassVar = {"change": lambda x_BTD, states: torch.zeros_like(x_BTD) / 0}


def test_outputs_that_are_not_finite_are_said_to_be(add):
    failed = [outcome for outcome in run_checks(Subject(add(ComputesNaN), {})) if outcome.result == "fails"]
    not_finite = [outcome for outcome in failed if "outputs of vision are not finite: " in outcome.reason]
    assert {"starts as frozen", "merges", "agrees in bfloat16"} <= {outcome.check for outcome in not_finite}
    assert all("nan" not in outcome.reason for outcome in not_finite) and "values, NaN" in not_finite[0].reason


@dataclass
class Biases(Method):
    """BitFit, as in the documentation. Biases of keys have no gradient."""

    def attach(self, model):
        super().attach(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.endswith(".bias"))


def test_bitfit_of_the_documentation_passes(add):
    outcomes = run_checks(Subject(add(Biases), {}))
    assert [outcome.check for outcome in outcomes if outcome.result == "fails"] == []


def test_the_command_takes_settings_and_returns_0(add, capsys):
    assert cli.main(["check-method", "lora", "--set", "r=2", "lora.alpha=1"]) == 0
    assert "lora: none of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "unknown method missing"),
        (["lora", "--set", "rank=2"], "unknown key lora.rank"),
        (["lora", "--set", "r"], "write <setting>=<value>"),
        (["lora", "--set", "r=0"], "r must be at least 1"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(arguments, message, capsys):
    assert cli.main(["check-method", *arguments]) == 2
    assert message in capsys.readouterr().err
