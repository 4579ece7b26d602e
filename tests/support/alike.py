"""Comparison of what two runs with the same work measured.

The products behind losses and scores may be summed in another order with another processor, number of threads or size
of batches, and nobody promises one order for two processes. So they are compared to rounding. A fault in what the runs
share, as in their data, order or random numbers, moves losses by far more.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

import pytest


def alike(value: Any) -> Any:
    """Return what equals `value`: numbers up to rounding, anything else exactly; dataclasses become dictionaries."""
    if is_dataclass(value) and not isinstance(value, type):
        return alike(asdict(value))
    if isinstance(value, dict):
        return {key: alike(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [alike(item) for item in value]
    return pytest.approx(value, rel=1e-5, abs=1e-4) if isinstance(value, float) else value
