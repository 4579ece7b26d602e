"""Trade-off scores: single numbers that combine score and trainable parameters of a method, each with its formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_PPT_SCALE = 10.0  # C, in millions of parameters


def ppt(score: float, trainable_parameters: int) -> float:
    """Return the performance-parameter trade-off of V-PETL Bench (Xin et al., NeurIPS 2024, Datasets and Benchmarks).

    Args:
        score: M, in percent; the result has the same unit.
        trainable_parameters: Number of trainable parameters; P is this number in millions.

    Raises:
        ValueError: `trainable_parameters` is negative.
    """
    if trainable_parameters < 0:
        raise ValueError(f"trainable_parameters must not be below 0, not {trainable_parameters}")
    return score * math.exp(-math.log10(trainable_parameters / 1e6 / _PPT_SCALE + 1))


@dataclass(frozen=True)
class TradeOff:
    """A trade-off score: its function of a score in percent and a number of parameters, and its formula."""

    compute: Callable[[float, int], float]
    formula: str


TRADE_OFFS = {
    "PPT": TradeOff(
        ppt, "M · exp(-log10(P / C + 1)), with the score M in percent, P million trainable parameters, and C = 10"
    ),
}
"""All trade-off scores, by the heading of their column. To add one, add a line."""

FORMULAS = {name: trade_off.formula for name, trade_off in TRADE_OFFS.items()}
"""The formula of each trade-off score, for a table's legend."""
