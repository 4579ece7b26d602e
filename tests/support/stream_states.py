"""States of streams with known summaries, for exchanges that are evaluated outside a model."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from bench.streams.additions import StreamState


def states_of(summaries: Mapping[str, Tensor]) -> dict[str, StreamState]:
    """Return states whose summary of any kind is the given vector (B, D)."""
    stream: Any = SimpleNamespace(summary=lambda x_BTD, kind, mask_BT: x_BTD[:, 0])
    return {name: StreamState(stream, vector[:, None], None, 1, "cls") for name, vector in summaries.items()}
