"""Methods that cannot adapt the streams of a run are refused before any run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tiny_families import Prompts
from transformers import Swinv2Config

from bench import cli, registry
from bench.config.attachable import misfit, outlined
from bench.config.plan import RunRequest, make_plan
from bench.errors import BenchError
from bench.methods.base import Method
from bench.streams.inputs import ImageInput
from bench.streams.load import build_stream, save_stream

REFUSED = "vision: encoders of the family swinv2 accept no added tokens"


@dataclass
class Tokens(Method):
    """A third party's: it adds tokens to every stream."""

    def attach(self, model):
        super().attach(model)
        for name, stream in model.streams.items():
            model.add_tokens(name, Prompts(next(stream.parameters()).new_zeros(2, stream.width)))


@dataclass
class TokensOfWeights(Tokens):
    """It reads weights first, which streams without them lack."""

    def attach(self, model):
        next(model.parameters()).sum().item()
        super().attach(model)


@dataclass
class Picky(Method):
    """It adapts no stream that has more than two blocks."""

    def check_model(self, model):
        for name, stream in model.streams.items():
            if stream.depth > 2:
                raise BenchError(f"{name} has {stream.depth} blocks, and 2 are the most")

    def attach(self, model):
        super().attach(model)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name, method in {"tokens": Tokens, "tokens-of-weights": TokensOfWeights, "picky": Picky}.items():
        monkeypatch.setitem(registry._added["methods"], name, method)


@pytest.fixture(scope="module")
def swin(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("swin")
    config = Swinv2Config(image_size=16, patch_size=4, embed_dim=8, depths=[1], num_heads=[2], window_size=2)
    save_stream(build_stream(config, ImageInput(16, (0.5,) * 3, (0.5,) * 3)), folder)
    return str(folder)


@pytest.mark.parametrize("arguments", [["run"], ["run", "--budget", "2%"], ["run", "--budget", "vpt"], ["profile"]])
def test_tokens_for_streams_without_room_are_refused_before_any_run(arguments, swin, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = [*arguments, "--suite", "mini", "--methods", "vpt,tokens,lora", "--tasks", "avs"]
    assert cli.main([*arguments, "--set", f"vision.model={swin}"]) == 2
    advice = "name another encoder (--set vision.model=DIR)"
    error = capsys.readouterr().err
    assert f"vpt on avs: {REFUSED}: leave that stream out (--set vpt.streams=audio), or {advice}\n" in error
    assert f"tokens on avs: {REFUSED}: {advice}\n" in error
    assert "lora" not in error and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "change", "refused"),
    [
        ("cola+vpt", "train.batch_size=2", True),
        ("tokens-of-weights", "train.batch_size=2", True),
        ("vpt", "vpt.streams=audio", False),
        ("cola", "train.batch_size=2", False),
        ("peft:vera", "train.batch_size=2", False),
    ],
)
def test_only_methods_that_add_tokens_there_are_refused(method, change, refused, swin):
    (spec,) = make_plan(RunRequest("mini", [method], ["avs"], [0], [f"vision.model={swin}", change]))
    outline = outlined(spec)
    names = [name for name, _ in outline.named_parameters()]
    assert misfit(spec, outline).startswith(f"{method} on avs: {REFUSED}") == refused
    assert [name for name, _ in outline.named_parameters()] == names, "the outline is as it was"


@pytest.mark.parametrize("command", ["run", "profile", "tune"])
def test_a_method_may_refuse_streams_itself(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([command, "--suite", "mini", "--methods", "picky", "--tasks", "avs"]) == 2
    assert "picky on avs: vision has 4 blocks, and 2 are the most" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_refusal_by_the_method_counts_when_it_is_attached_too():
    (spec,) = make_plan(RunRequest("mini", ["picky"], ["avs"], [0]))
    with pytest.raises(BenchError, match="2 are the most"):
        Picky().attach(outlined(spec))
