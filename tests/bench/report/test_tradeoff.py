from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.tradeoff import FORMULAS, TRADE_OFFS, ppt


@pytest.mark.parametrize(
    ("score", "trainable", "expected"),
    [
        (80.7, 0, 80.7),  # log10(1) = 0
        (100.0, 90_000_000, 100 / math.e),  # P / C + 1 = 10
        (50.0, 990_000_000, 50 / math.e**2),  # P / C + 1 = 100
        (79.2, 6_100_000, 64.40237),  # LoRA of the CoLA paper on AVE: exp(-log10(1.61)) = 0.8131612
        (80.7, 18_600_000, 51.13006),  # CoLA of the CoLA paper: exp(-log10(2.86)) = 0.6335819
    ],
)
def test_ppt_by_hand(score, trainable, expected):
    assert ppt(score, trainable) == pytest.approx(expected, rel=1e-5)


@given(st.floats(0.1, 100), st.integers(0, 10**9), st.integers(1, 10**9))
def test_more_parameters_for_the_same_score_are_worse(score, trainable, more):
    assert ppt(score, trainable + more) <= ppt(score, trainable) <= score
    assert ppt(score + 1, trainable) > ppt(score, trainable)


def test_fewer_than_no_parameters():
    with pytest.raises(ValueError, match="must not be below 0, not -1"):
        ppt(80.0, -1)


def test_every_trade_off_has_its_formula():
    assert TRADE_OFFS["PPT"].compute is ppt
    assert "M · exp(-log10(P / C + 1))" in FORMULAS["PPT"] and "C = 10" in FORMULAS["PPT"]
    assert FORMULAS.keys() == TRADE_OFFS.keys()
