"""States of streams with known summaries, for exchanges outside a model, and an exchange that only reads."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from bench.streams.additions import Exchange, StreamState
from bench.streams.base import LinearEvaluator


def states_of(summaries: Mapping[str, Tensor]) -> dict[str, StreamState]:
    """Return states whose summary of any kind is the given vector (B, D)."""
    stream: Any = SimpleNamespace(summary=lambda x_BTD, kind, mask_BT: x_BTD[:, 0])
    return {name: StreamState(stream, vector[:, None], None, 1, "cls") for name, vector in summaries.items()}


class Reading(Exchange):
    """The target reads the source's summary at one stage, and makes nothing of it."""

    def __init__(self, source: str, target: str) -> None:
        super().__init__()
        self.paths = frozenset({(source, target)})
        self.source = source

    def read(self, states: Mapping[str, StreamState]) -> Mapping[str, LinearEvaluator]:
        states[self.source].summary()
        return {}
