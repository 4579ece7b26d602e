"""What every record has had besides the types of its keys, so that those who read it can rely on it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import PurePosixPath
from typing import Any

import msgspec

from bench import settings
from bench.plan import Spec
from bench.recipe import Recipe
from bench.schema import Record
from bench.suite import Data, StreamSource

LARGEST = 1e100  # of a number that was measured: means and variances of such numbers are numbers too
_DEEPEST = 32  # lists and tables in one another
_LONGEST = 100_000  # characters of a text; a traceback may have thousands
_LONGEST_NAME = 240  # characters of the name of a run's files: file systems allow 255, and suffixes come to it
_OF_RECIPE = tuple(field.name for field in dataclasses.fields(Recipe) if field.default is dataclasses.MISSING)
_OF_GENERATED = ("source", "version", "seed")
_HINTS: dict[type, dict[str, Any]] = {cls: settings.hints(cls) for cls in (Recipe, Data, StreamSource)}
_SPEC_KEYS = {field.name for field in dataclasses.fields(Spec)}
_ID = re.compile(r"[0-9a-f]{12}")


def check(record: Record) -> None:
    """Checks a record whose keys have the right types.

    Raises:
        ValueError: with the key that holds what no run has measured.
    """
    check_values(vars(record))
    check_spec(record.spec)
    if not _ID.fullmatch(record.id):
        raise ValueError("id is not 12 hexadecimal digits")
    if len(record.stem) > _LONGEST_NAME:
        raise ValueError("spec.task and spec.method are too long for the name of a file")
    _check_scores(record)
    if record.adapter is not None and not _is_saved_adapter(record.adapter):
        raise ValueError(f"adapter is not a folder of adapters/: {record.adapter[:100]}")


def check_values(value: Any, keys: tuple[str, ...] = ()) -> None:
    """Checks each value in dataclasses, tables and lists by itself.

    Args:
        value: any of these.
        keys: lead there, for messages.

    Raises:
        ValueError: a number or a text is too large, or one lies too deep.
    """
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise ValueError(f"{_joined(keys)} has {len(value):,} characters, more than {_LONGEST:,}")
    elif isinstance(value, float):
        if abs(value) > LARGEST:
            raise ValueError(f"{_joined(keys)} is above {LARGEST:g}, which cannot have been measured")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{_joined(keys)} has more than 64 bits")
    elif value is not None:
        if len(keys) > _DEEPEST:
            raise ValueError(f"{_joined(keys[:4])} goes more than {_DEEPEST} levels deep")
        table = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else vars(value)
        for name, item in table.items():
            check_values(item, (*keys, str(name)))


def _joined(keys: tuple[str, ...]) -> str:
    """As in `spec.streams.vision.model`."""
    return ".".join(keys)[:200]


def check_spec(spec: dict[str, Any]) -> None:
    """Checks what reports take of a specification; what runs take is checked by `bench.again`.

    Raises:
        ValueError: with each key that is missing, unknown or wrong.
    """
    try:
        msgspec.convert(spec, Spec)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("`$", "`$.spec")) from None
    if unknown := spec.keys() - _SPEC_KEYS:
        raise ValueError(f"unknown in spec: {', '.join(sorted(unknown))}")
    parts: list[tuple[str, dict[str, Any], type, tuple[str, ...]]] = [
        ("recipe", spec["recipe"], Recipe, _OF_RECIPE),
        ("data", spec["data"], Data, ("source",) if spec["data"].get("source") == "official" else _OF_GENERATED),
        *((f"streams.{name}", source, StreamSource, ("model",)) for name, source in spec["streams"].items()),
    ]
    problems = []
    for where, table, cls, needed in parts:
        hints = _HINTS[cls]
        problems += [f"spec.{where}.{name} is missing" for name in needed if name not in table]
        for name in hints.keys() & table:  # others are of a later version
            try:
                settings.convert(table[name], hints[name])
            except ValueError as error:
                problems.append(f"spec.{where}.{name} {error}")
    if problems:
        raise ValueError("; ".join(sorted(problems)))


def _check_scores(record: Record) -> None:
    scores = record.scores
    if scores is None:
        return
    if scores.test and scores.metric not in scores.test:
        raise ValueError(f"scores.test has no {scores.metric}, the primary one")
    if not 1 <= scores.best_epoch <= len(scores.validation):
        raise ValueError(
            f"scores.best_epoch is {scores.best_epoch}, and scores.validation has {len(scores.validation)} epochs"
        )
    for index, epoch in enumerate(scores.validation):
        if scores.metric not in epoch.scores:
            raise ValueError(f"scores.validation[{index}].scores has no {scores.metric}, the primary one")
    if scores.splits is not None and "val" not in scores.splits:
        raise ValueError("scores.splits has no val")


def _is_saved_adapter(folder: str) -> bool:
    """Whether it is a folder of the results folder's adapters: what lies elsewhere is not read."""
    parts = PurePosixPath(folder).parts
    return len(parts) == 2 and parts[0] == "adapters" and parts[1] != ".." and "\\" not in folder and "\0" not in folder
