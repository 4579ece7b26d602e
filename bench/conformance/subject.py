"""The method that is checked, and what several checks do with it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close

from bench import registry
from bench.config import validate
from bench.conformance.models import loss, perturb, tiny_inputs, tiny_model
from bench.methods.base import Method
from bench.streams.lockstep import MultiStream

_STEPS = 3
_FRAMES = 2  # inputs of a sample
_INTER = {"inter_r": 2, "reduction": 4}  # of CoLA's path: its defaults are for wider streams


@dataclass(frozen=True)
class Subject:
    """A method to check.

    Attributes:
        name: Its registered name.
        settings: Settings that differ from its defaults.
    """

    name: str
    settings: Mapping[str, Any]

    def method(self, prefix: str = "") -> Method:
        """Return the method, not attached.

        Args:
            prefix: Such as "cola+", for the method beside another.

        Raises:
            UsageError: There is no such method, or settings are wrong.
        """
        name = prefix + self.name
        settings = {**self.settings, **(_INTER if prefix else {})}
        return validate.build(registry.load("methods", name), settings, name)

    def attached(self, model: MultiStream, prefix: str = "") -> Method:
        """Return the method, attached to a model with the same random draws each time."""
        torch.manual_seed(0)
        method = self.method(prefix)
        method.attach(model)
        return method


def train(method: Method, model: MultiStream, steps: int = _STEPS) -> list[Tensor | None]:
    """Train a model for a few steps of plain gradient descent, as the trainer does.

    Returns:
        The term that the method added to the loss at each step; empty if there is nothing to train.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    method.before_training(steps)
    terms: list[Tensor | None] = []
    if not trainable:
        return terms
    inputs = tiny_inputs(model, batch=2 * _FRAMES)
    optimizer = torch.optim.SGD(trainable, lr=0.1)
    for step in range(steps):
        total, extra = loss(model(inputs, frames=_FRAMES)), method.loss()
        (total if extra is None else total + extra).backward()
        terms.append(extra)
        optimizer.step()
        method.after_backward(step)
        optimizer.zero_grad()
    return terms


def check_saving(subject: Subject, prefix: str = "") -> None:
    """Assert that `load` reads what `save` wrote into a fresh model, with the same outputs, from permitted files.

    Args:
        subject: The method.
        prefix: As for `Subject.method`.
    """
    model, fresh = tiny_model(), tiny_model()
    inputs = tiny_inputs(model)
    method = subject.attached(model, prefix)
    perturb(model)
    train(method, model)
    with tempfile.TemporaryDirectory() as scratch:
        method.save(Path(scratch))
        allowed = {".safetensors", ".json", ".md"}
        foreign = [path.name for path in Path(scratch).rglob("*") if path.is_file() and path.suffix not in allowed]
        assert not foreign, f"save wrote {', '.join(foreign)}: tensors go into safetensors, anything else into JSON"
        subject.attached(fresh, prefix).load(Path(scratch))
    model.eval(), fresh.eval()
    assert_outputs(fresh(inputs), model(inputs), tolerance=1e-6)


def assert_outputs(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = 1e-5) -> None:
    """Assert that the outputs (B, T, D) of streams are finite, and those that are expected up to a tolerance."""
    for name, tokens in actual.items():
        assert_finite(name, tokens)
        assert_close(tokens, expected[name], rtol=tolerance, atol=tolerance, msg=partial("{}: {}".format, name))


def assert_finite(name: str, tokens: Tensor) -> None:
    """Assert that the outputs of a stream are finite numbers."""
    if not tokens.isfinite().all():
        values = "NaN" if tokens.isnan().any() else "infinite"
        count = int((~tokens.isfinite()).sum())
        raise AssertionError(f"outputs of {name} are not finite: {count} of {tokens.numel()} values, {values}")
