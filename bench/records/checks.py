"""Checks of a record's values beyond their types, so that its readers can rely on them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Hashable, Iterable
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from bench.config import validate
from bench.config.recipe import Recipe
from bench.config.spec import Spec
from bench.config.suite import Data, StreamSource
from bench.errors import Mistakes
from bench.records.schema import Record, now

MAX_MEASUREMENT = 1e100  # largest measured number, so that means and variances of such numbers are finite too
MAX_SCORE = 1e6  # metrics are percentages as a rule, but those of a user's task need not be
_MAX_INTEGER = 2**63
_MAX_DEPTH = 32  # nested lists and tables
_MAX_CHARACTERS = 100_000  # of a text; a traceback may have thousands
_MAX_NAME = 240  # characters in the name of a run's files: file systems allow 255, and suffixes are added
_RECIPE_KEYS = tuple(field.name for field in dataclasses.fields(Recipe) if field.default is dataclasses.MISSING)
_GENERATED_DATA_KEYS = ("source", "version", "seed")
_NOT_GENERATED = ("official", "own")
_HINTS: dict[type, dict[str, Any]] = {cls: validate.hints(cls) for cls in (Recipe, Data, StreamSource)}
_ID = re.compile(r"[0-9a-f]{12}")


def check(record: Record) -> None:
    """Check a record whose values have the right types.

    Raises:
        ValueError: A run cannot have recorded such a value; the message names the key.
    """
    check_values(vars(record))
    check_spec(record.spec)
    if not _ID.fullmatch(record.id):
        raise ValueError("id is not 12 hexadecimal digits")
    if len(record.stem) > _MAX_NAME:
        raise ValueError("spec.task and spec.method are too long for the name of a file")
    _check_scores(record)
    if record.adapter is not None and not _is_saved_adapter(record.adapter):
        raise ValueError(f"adapter is not a folder of adapters/: {record.adapter[:100]}")


def check_recordable(specs: Iterable[Spec]) -> None:
    """Check that the records of these runs will be readable.

    Raises:
        UsageError: Values of the specifications are not allowed in a record; the message names each key.
    """
    mistakes = Mistakes()
    for spec in specs:
        try:
            check(Record.failed(spec, now()))
        except ValueError as error:
            mistakes.add(f"{error}: no record can contain that")
    mistakes.raise_if_any()


def within_limits(value: Any, keys: tuple[str, ...] = ()) -> Any:
    """Return a record, or a part of it, with measured numbers and texts that `check_values` accepts.

    Numbers that are too large become NaN, like others that are not finite; of a long text the end is kept.

    Args:
        value: A dataclass, table or list, or a value in one.
        keys: The keys that lead from the record to the value.
    """
    if keys == ("spec",):
        return value
    if isinstance(value, str):
        return value[-_MAX_CHARACTERS:]
    if isinstance(value, float):
        return math.nan if _is_too_large(value, keys) else value
    if isinstance(value, dict):
        return {name: within_limits(item, (*keys, str(name))) for name, item in value.items()}
    if isinstance(value, list):
        return [within_limits(item, (*keys, str(index))) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {name: within_limits(item, (*keys, name)) for name, item in vars(value).items() if name != "file"}
        return dataclasses.replace(value, **parts)
    return value


def check_values(value: Any, keys: tuple[str, ...] = ()) -> None:
    """Check each value in dataclasses, tables and lists on its own.

    Args:
        value: A dataclass, table or list, or a value in one.
        keys: The keys that lead from the record to the value, for messages.

    Raises:
        ValueError: A number or text is too large, or nested too deep. Floats within `spec`, such as settings, are not
            limited.
    """
    if isinstance(value, str):
        if len(value) > _MAX_CHARACTERS:
            raise ValueError(f"{_joined(keys)} has {len(value):,} characters, more than {_MAX_CHARACTERS:,}")
    elif isinstance(value, float):
        if _is_too_large(value, keys):
            raise ValueError(f"{_joined(keys)} is {value:g}, which cannot have been measured")
    elif isinstance(value, int):
        if not -_MAX_INTEGER <= value < _MAX_INTEGER:
            raise ValueError(f"{_joined(keys)} has more than 64 bits")
    elif value is not None:
        if len(keys) > _MAX_DEPTH:
            raise ValueError(f"{_joined(keys[:4])} goes more than {_MAX_DEPTH} levels deep")
        table = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else vars(value)
        for name, item in table.items():
            # Nearly all values are small, wherever they are: without a call for each, thousands of records are checked
            # in half the time.
            kind = type(item)
            if (
                item is None
                or (kind is float and not abs(item) > MAX_SCORE)
                or (kind is str and len(item) <= _MAX_CHARACTERS)
                or (kind is int and -_MAX_INTEGER <= item < _MAX_INTEGER)
            ):
                continue
            check_values(item, (*keys, str(name)))


def _is_too_large(value: float, keys: tuple[str, ...]) -> bool:
    """Return whether a number is too large to have been measured; `keys` lead to it. Settings are not limited."""
    if not abs(value) > MAX_SCORE or keys[0] == "spec":  # NaN is not too large
        return False
    is_score = keys[0] == "scores" and (keys[1] in ("test", "floors", "splits") or keys[-2] == "scores")
    return is_score or abs(value) > MAX_MEASUREMENT


def _joined(keys: tuple[str, ...]) -> str:
    """Return keys as one dotted name, e.g. `spec.streams.vision.model`."""
    return ".".join(keys)[:200]


def check_spec(spec: Spec) -> None:
    """Check the parts of a specification that reports use; `bench.records.specification` checks those that runs use.

    Raises:
        ValueError: Keys are missing or wrong; the message names each of them.
    """
    parts: list[tuple[str, dict[str, Any], type, tuple[str, ...]]] = [
        ("recipe", spec.recipe, Recipe, _RECIPE_KEYS),
        ("data", spec.data, Data, ("source",) if spec.data.get("source") in _NOT_GENERATED else _GENERATED_DATA_KEYS),
        *((f"streams.{name}", source, StreamSource, ("model",)) for name, source in spec.streams.items()),
    ]
    problems = []
    for prefix, table, cls, required in parts:
        hints = _HINTS[cls]
        problems += [f"spec.{prefix}.{name} is missing" for name in required if name not in table]
        for name in hints.keys() & table:  # further keys are from a later version
            value = table[name]
            misfit = _misfit if isinstance(value, Hashable) else _misfit.__wrapped__
            if problem := misfit(value, cls, name):
                problems.append(f"spec.{prefix}.{name} {problem}")
    if problems:
        raise ValueError("; ".join(sorted(problems)))


@lru_cache(maxsize=1024, typed=True)  # thousands of records have the same few values
def _misfit(value: Any, cls: type, name: str) -> str:
    """Return why a field of a dataclass cannot have a value; "" if it can."""
    try:
        validate.convert(value, _HINTS[cls][name])
    except ValueError as error:
        return str(error)
    return ""


def _check_scores(record: Record) -> None:
    scores = record.scores
    if scores is None:
        return
    if scores.test and scores.metric not in scores.test:
        raise ValueError(f"scores.test has no {scores.metric}, the primary metric")
    if not 1 <= scores.best_epoch <= len(scores.validation):
        raise ValueError(
            f"scores.best_epoch is {scores.best_epoch}, but scores.validation has {len(scores.validation)} epochs"
        )
    for index, epoch in enumerate(scores.validation):
        if scores.metric not in epoch.scores:
            raise ValueError(f"scores.validation[{index}].scores has no {scores.metric}, the primary metric")
    if scores.splits is not None and "val" not in scores.splits:
        raise ValueError("scores.splits has no val")


def _is_saved_adapter(folder: str) -> bool:
    """Return whether a path is that of a folder in adapters/ of the results folder: no other is read."""
    parts = PurePosixPath(folder).parts
    return len(parts) == 2 and parts[0] == "adapters" and parts[1] != ".." and "\\" not in folder and "\0" not in folder
