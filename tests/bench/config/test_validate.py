from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import validate
from bench.errors import UsageError


@dataclass
class Options:
    count: int
    rate: float = 0.5
    on: bool = False
    kind: Literal["a", "b"] = "a"
    scale: float | None = None
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    either: int | str = 1
    state: object = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count must not be below 0")


@dataclass
class MoreOptions(Options):
    more: str = ""


MAX_INT = 10**18 - 1
ACCEPTED = st.fixed_dictionaries(
    {"count": st.integers(0, MAX_INT)},
    optional={
        "rate": st.floats(allow_nan=False, allow_infinity=False),
        "on": st.booleans(),
        "kind": st.sampled_from(["a", "b"]),
        "scale": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "names": st.lists(st.text()).map(tuple),
        "sizes": st.lists(st.integers(-MAX_INT, MAX_INT)).map(tuple),
        "either": st.integers(-MAX_INT, MAX_INT) | st.text(),
        "more": st.text(),
    },
)


@given(ACCEPTED)
def test_right_values_pass_unchanged(values):
    built = validate.build(MoreOptions, values, "x")
    assert {name: value for name, value in asdict(built).items() if name in values} == values
    assert validate.build(MoreOptions, {k: v for k, v in asdict(built).items() if k != "state"}, "x") == built


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_pass_for_floats(number):
    rate = validate.build(Options, {"count": 1, "rate": number}, "x").rate
    assert rate == number
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("names", ["q", "v"], ("q", "v")),
        ("names", "q,v", ("q", "v")),
        ("scale", "none", None),
        ("scale", 1, 1.0),
        ("either", "x", "x"),
        ("either", 2, 2),
    ],
)
def test_conversions(name, value, result):
    assert getattr(validate.build(Options, {"count": 1, name: value}, "x"), name) == result


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", "8", "x.count must be a whole number, not '8'"),
        ("count", True, "x.count must be a whole number, not True"),
        ("count", 1.0, "x.count must be a whole number, not 1.0"),
        ("count", -1, "x: count must not be below 0"),
        ("rate", "fast", "x.rate must be a finite number, not 'fast'"),
        ("rate", float("nan"), "x.rate must be a finite number, not nan"),
        ("rate", True, "x.rate must be a finite number, not True"),
        ("on", 1, "x.on must be true or false, not 1"),
        ("kind", "c", "x.kind must be one of a, b, not 'c'"),
        ("kind", [], "x.kind must be one of a, b, not []"),
        ("scale", "big", "x.scale must be a finite number or none, not 'big'"),
        ("sizes", [1, "b"], "x.sizes must be a list, each a whole number, not [1, 'b']"),
        ("knid", 1, "unknown key x.knid: did you mean kind? known: count, either, kind, names, on, rate, scale, sizes"),
    ],
)
def test_mistakes_are_reported(name, value, message):
    with pytest.raises(UsageError) as raised:
        validate.build(Options, {"count": 1, name: value}, "x")
    assert raised.value.problems == [message]


def test_fields_that_are_no_settings_are_unknown():
    with pytest.raises(UsageError, match=r"unknown key x\.state"):
        validate.build(Options, {"count": 1, "state": 1}, "x")


def test_all_mistakes_are_reported_together():
    with pytest.raises(UsageError) as raised:
        validate.build(Options, {"rat": 1, "on": "yes"}, "x")
    assert len(raised.value.problems) == 3
    assert raised.value.problems[-1] == "x.count is missing"


@dataclass
class Nested:
    """Sizes as of lora.r: one, or a table of them or of tables."""

    r: int | dict[str, int | dict[str, int | dict[str, int]]] = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"vision": 8.5}, "x.r.vision must be a whole number or a table, each a whole number or a table, not 8.5"),
        ({"audio": 1, "vision": {"q": {"0": "b"}}}, "x.r.vision.q.0 must be a whole number, not 'b'"),
        ("b", "x.r must be a whole number or a table, each a whole number or a table, not 'b'"),
    ],
)
def test_the_part_of_a_table_is_named(value, message):
    with pytest.raises(UsageError) as raised:
        validate.build(Nested, {"r": value}, "x")
    assert raised.value.problems == [message]
