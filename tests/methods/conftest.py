"""A tiny multi-stream model, with random weights everywhere, and methods such as a third party may bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from transformers import ASTConfig, ViTConfig

from bench import registry
from bench.methods.base import Method
from bench.methods.inter_modal import InterModal
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.methods.lora import LoRA
from bench.streams.additions import Exchange
from bench.streams.base import STAGES
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream

IMAGE = ImageInput(size=16, mean=(0.5,) * 3, std=(0.5,) * 3)
AUDIO = AudioInput(sample_rate=16000, mel_bins=16, frames=24, mean=0.0, std=1.0)
DEPTHS = {"vision": 3, "audio": 2}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Draw all parameters: as initialised, many are 0 or 1 and would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter) * 0.2


def tiny_model(depths: Mapping[str, int] = DEPTHS, dtype: torch.dtype = torch.float64) -> MultiStream:
    """Streams of the widths 24 (whose name begins with `audio`) and 32 (any other)."""
    streams = {}
    for name, depth in depths.items():
        if name.startswith("audio"):
            audio = {"num_mel_bins": 16, "max_length": 24, "frequency_stride": 8, "time_stride": 8}
            config = ASTConfig(hidden_size=24, num_attention_heads=2, intermediate_size=40, patch_size=8, **audio)
        else:
            config = ViTConfig(hidden_size=32, num_attention_heads=4, intermediate_size=48, patch_size=8, image_size=16)
        config.num_hidden_layers = depth
        streams[name] = build_stream(config, AUDIO if name.startswith("audio") else IMAGE)
    model = MultiStream(streams)
    randomise(model)
    return model.to(dtype)


def tiny_inputs(model: MultiStream, batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {name: (24, 16) if name.startswith("audio") else (3, 16, 16) for name in model.streams}
    dtype = next(model.parameters()).dtype
    return {name: torch.randn(batch, *shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def plain_term(model: MultiStream, stream: str, block: int, role: str, partner: str) -> InterModal:
    """Return the term of a linear in the plain form, with its values in a model."""
    prefix = f"{stream}.{block}.{role}.{partner}."
    values = {k.removeprefix(prefix): v for k, v in inter_modal_tensors(model).items() if k.startswith(prefix)}
    (r, in_features), (hidden, width) = values["A"].shape, values["hyper.fc1.weight"].shape
    term = InterModal((in_features, len(values["B"])), width, r, hidden, scale=0.0).to(values["A"].dtype)
    term.load_state_dict(values)
    return term


class Gate(Exchange):
    """Scales each output feature of the linears of a stage by what the summaries of the other streams say."""

    def __init__(self, model: MultiStream, step: int, stage: str) -> None:
        super().__init__()
        self.paths = frozenset((source, name) for source in model.streams for name in model.streams if source != name)
        self.gates = nn.ModuleDict()
        for source, name in sorted(self.paths):
            stream, block = model.streams[name], model.schedule[step][name].paired
            width = model.streams[source].width_at(model.schedule[step][source].paired)
            for role in (role for role in stream.linears(block) if role in STAGES[stage]):
                gate = nn.Linear(width, stream.features(block, role)[1], bias=False)
                nn.init.zeros_(gate.weight)
                self.gates[f"{source}>{name}:{role}"] = gate.to(next(stream.parameters()).dtype)

    def read(self, states):
        summaries = {name: state.summary() for name, state in states.items()}
        return {name: partial(self._evaluate, name, summaries) for _, name in self.paths}

    def _evaluate(self, name, summaries, modules, x_BTI):
        return [self._scaled(name, role, summaries, module(x_BTI)) for role, module in modules.items()]

    def _scaled(self, name, role, summaries, y_BTO):
        for source, summary_BC in summaries.items():
            if (source, name) in self.paths:
                y_BTO = y_BTO * (1 + self.gates[f"{source}>{name}:{role}"](summary_BC)[:, None])
        return y_BTO


@dataclass
class Gated(Method):
    """Only a gate on each linear of paired blocks is trained: an exchange of a third party's own."""

    def attach(self, model):
        super().attach(model)
        for step in range(len(model.schedule)):
            for stage in STAGES:
                model.add_exchange(step, stage, Gate(model, step, stage))


@dataclass
class LoRAAndNorms(LoRA):
    """LoRA, and beside it the norms are trained."""

    def attach(self, model):
        super().attach(model)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_(True)


@pytest.fixture(autouse=True, scope="module")
def registered():
    """They have names, as those of an installed package have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._added["methods"], "gated", Gated)
        patch.setitem(registry._added["methods"], "lora-and-norms", LoRAAndNorms)
        yield


@pytest.fixture(scope="session")
def make_plain_term():
    return plain_term


@pytest.fixture(scope="session")
def make_model():
    return tiny_model


@pytest.fixture(scope="session")
def make_inputs():
    return tiny_inputs


@pytest.fixture(scope="session")
def draw():
    return randomise


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small only lose by being shared out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
