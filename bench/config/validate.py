"""Validation of settings: plain values are checked and converted by the types of a dataclass's fields."""

from __future__ import annotations

import dataclasses
import inspect
import math
import reprlib
import sys
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from bench.errors import Mistakes, UsageError, did_you_mean

T = TypeVar("T")

_INTEGER_LIMIT = 10**18


class WrongValueError(ValueError):
    """A value that is not of the type it must have.

    Attributes:
        keys: Where in it, if it is a table of which a part is wrong.
    """

    def __init__(self, message: str, keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.keys = keys


def build(cls: type[T], values: Mapping[str, Any], prefix: str) -> T:
    """Return an instance of the dataclass `cls` with `values` as its fields.

    Args:
        cls: A dataclass; its `__post_init__` may raise ValueError for invalid values.
        values: Values by name, in the types of TOML or JSON.
        prefix: Owner of the values, for messages: "cola" for "cola.r must be ...".

    Raises:
        UsageError: Values are unknown, missing or wrong; the message lists all of them.
    """
    mistakes = Mistakes()
    checked: dict[str, Any] = {}
    with mistakes.gathered():
        checked = check(cls, values, prefix)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # mypy cannot express "a dataclass"
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.init and required and field.name not in values:
            mistakes.add(f"{_full(prefix, field.name)} is missing")
    mistakes.raise_if_any()
    try:
        return cls(**checked)
    except ValueError as error:
        raise UsageError(f"{prefix}: {error}") from error


def check(cls: type, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return values converted to the types of the fields of `cls`; fields may be missing.

    Args:
        cls: A dataclass.
        values: Values by name, in the types of TOML or JSON.
        prefix: Owner of the values, for messages.

    Raises:
        UsageError: Names are unknown or values wrong; the message lists all of them.
    """
    types = hints(cls)
    mistakes = Mistakes()
    checked = {}
    for name, value in values.items():
        if name not in types:
            mistakes.add(f"unknown key {_full(prefix, name)}: {did_you_mean(name, types)}")
            continue
        try:
            checked[name] = convert(value, types[name])
        except ValueError as error:
            keys = error.keys if isinstance(error, WrongValueError) else ()
            mistakes.add(f"{'.'.join((_full(prefix, name), *keys))} {error}")
    mistakes.raise_if_any()
    return checked


def hints(cls: type) -> dict[str, Any]:
    """Return the types of the fields that a dataclass's constructor takes, by name."""
    types = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        types[field.name] = field.type
        if isinstance(field.type, str):
            # typing.get_type_hints would also evaluate class variables, which may need modules imported for mypy only.
            owner = next(base for base in cls.__mro__ if field.name in inspect.get_annotations(base))
            types[field.name] = eval(field.type, vars(sys.modules[owner.__module__]))
    return types


def convert(value: Any, hint: Any) -> Any:
    """Return a value converted to the type `hint`.

    Integers are accepted as floats, lists and texts such as "a,b" or "0,1" as tuples, an integer as a tuple of one, and
    "none" as None.

    Raises:
        WrongValueError: The value cannot be converted; the message says what it must be.
        ValueError: An integer is too large.
    """
    try:
        return _converted(value, hint)
    except (TypeError, OverflowError):  # an integer may be too large for a float
        part, hint, keys = _misfit(value, hint, ())
        raise WrongValueError(f"must be {_described(hint)}, not {reprlib.repr(part)}", keys) from None


def _misfit(value: Any, hint: Any, keys: tuple[str, ...]) -> tuple[Any, Any, tuple[str, ...]]:
    """Return the innermost part of a value that cannot be converted, the type it must have, and its keys in tables."""
    for table in (hint, *get_args(hint)):
        if isinstance(value, Mapping) and get_origin(table) is dict:
            for key, item in value.items():
                try:
                    _converted(item, get_args(table)[1])
                except (TypeError, OverflowError):
                    return _misfit(item, get_args(table)[1], (*keys, str(key)))
    return value, hint, keys


def _converted(value: Any, hint: Any) -> Any:
    """Return a value converted to the type `hint`; raise TypeError if that is not possible."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if NoneType in args and (value is None or (isinstance(value, str) and value.lower() == "none")):
            return None
        for arg in args:
            try:
                return _converted(value, arg)
            except TypeError:
                continue
    elif origin is Literal:
        if value in args:
            return value
    elif origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if args[0] is int and isinstance(value, int) and not isinstance(value, bool):
            items = [value]
        elif args[0] is int and isinstance(value, str):
            items = [int(item) if item.strip().isdecimal() and len(item) < 19 else item for item in items]
        if isinstance(items, list | tuple):
            return tuple(_converted(item, args[0]) for item in items)
    elif origin is dict:
        if isinstance(value, Mapping):
            return {key: _converted(item, args[1]) for key, item in value.items()}
    elif hint is Any:
        return value
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif hint is int and isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise ValueError("must be a whole number of at most 18 digits")  # the limit of records
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise TypeError


def _described(hint: Any, in_table: bool = False) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_described(arg, in_table) for arg in args)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple:
        return f"a list, each {_described(args[0])}"
    if origin is dict:
        return "a table" if in_table or args[1] is Any else f"a table, each {_described(args[1], in_table=True)}"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", NoneType: "none"}
    return names.get(hint, str(hint))


def _full(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
