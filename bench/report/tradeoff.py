"""Trade-off scores: one number for how well a method does and how much it trains, each with its formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_PPT_SCALE = 10.0  # C, in millions of parameters


def ppt(score: float, trainable_parameters: int) -> float:
    """Return the performance-parameter trade-off of V-PETL Bench (Xin et al., NeurIPS 2024, Datasets and Benchmarks).

    Args:
        score: M, in percent; the result has the same unit.
        trainable_parameters: how many are trained; P is so many in millions.

    Raises:
        ValueError: there cannot be fewer than none.
    """
    if trainable_parameters < 0:
        raise ValueError(f"trainable_parameters must not be below 0, not {trainable_parameters}")
    return score * math.exp(-math.log10(trainable_parameters / 1e6 / _PPT_SCALE + 1))


@dataclass(frozen=True)
class TradeOff:
    """A trade-off score: what computes it from a score in percent and a count of parameters, and its formula."""

    compute: Callable[[float, int], float]
    formula: str


TRADE_OFFS = {
    "PPT": TradeOff(
        ppt, "M · exp(-log10(P / C + 1)): M the score in percent, P millions of trained parameters, C = 10"
    ),
}
"""Every trade-off score, by what a table's column is called; another one is another line."""

FORMULAS = {name: trade_off.formula for name, trade_off in TRADE_OFFS.items()}
"""The formula of each, as text for a table's legend."""
