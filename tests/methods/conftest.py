"""A tiny multi-stream model, with random weights everywhere, and methods such as a third party may bring."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from bench import registry
from bench.conformance.models import randomize, tiny_inputs, tiny_model
from bench.methods.base import Method
from bench.methods.inter_modal import InterModal
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.methods.lora import LoRA
from bench.streams.additions import Exchange
from bench.streams.lockstep import MultiStream
from bench.streams.roles import STAGES


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

    reads_partners = True

    def attach(self, model):
        super().attach(model)
        for step in range(len(model.schedule)):
            for stage in STAGES:
                model.add_exchange(step, stage, Gate(model, step, stage))


@dataclass
class LoRAAndNorms(LoRA):
    """LoRA, and beside it the norms are trained."""

    opens_in_peft = False  # PEFT knows nothing of the norms

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
    return partial(tiny_model, dtype=torch.float64)


@pytest.fixture(scope="session")
def make_inputs():
    return tiny_inputs


@pytest.fixture(scope="session")
def draw():
    return randomize


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small only lose by being shared out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
