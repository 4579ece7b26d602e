"""Methods whose adapters are unusual to save: an exchange with a buffer, parameters that are not saved, none at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bench.methods.base import Method
from bench.methods.lora import LoRA
from bench.streams.additions import Exchange


class Centred(Exchange):
    """Adds a projection of audio's summary, less its running mean (a buffer), to vision's queries."""

    paths = frozenset({("audio", "vision")})

    def __init__(self, model):
        super().__init__()
        vision, audio = model.streams["vision"], model.streams["audio"]
        self.register_buffer("mean", torch.zeros(audio.width))
        self.up = nn.Linear(audio.width, vision.features(0, "q")[1])

    def read(self, states):
        summary_BC = states["audio"].summary()
        if self.training:
            self.mean.lerp_(summary_BC.detach().mean(0), 0.1)
        term_BO = self.up(summary_BC - self.mean)

        def evaluate(modules, x_BTI):
            return [m(x_BTI) + term_BO[:, None] if role == "q" else m(x_BTI) for role, m in modules.items()]

        return {"vision": evaluate}


@dataclass
class CentredMethod(Method):
    """Trains the exchange `Centred`."""

    def attach(self, model):
        super().attach(model)
        model.add_exchange(0, "attend", Centred(model))


@dataclass
class Forgetful(LoRA):
    """Trains a bias that it neither saves nor loads."""

    def attach(self, model):
        super().attach(model)
        self.extra = model.streams["vision"].encoder.get_submodule(model.streams["vision"].linears(0)["q"]).bias
        self.extra.requires_grad_(True)

    def held_apart(self):
        return [*super().held_apart(), self.extra]


@dataclass
class Unfaithful(Method):
    """Changes a weight that it does not train."""

    def attach(self, model):
        super().attach(model)
        model.more = nn.Linear(2, 2)

    def before_training(self, steps):
        self.model.streams["audio"].encoder.get_parameter("layernorm.weight").data.mul_(2)
