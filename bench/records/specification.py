"""The specification in a record, checked completely before the same run is set up again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.config import validate
from bench.config.recipe import Recipe
from bench.config.spec import Spec
from bench.config.suite import Data, StreamSource
from bench.errors import BenchError, Mistakes
from bench.records.schema import Record

_MOST_SEED = 2**32 - 1  # NumPy's


def specification(record: Record, path: str | Path) -> Spec:
    """Return the specification of a record, which may have been edited by hand.

    Args:
        record: The record.
        path: The file that the record was read from, for messages.

    Returns:
        The specification, with valid recipe, data and streams. The settings of the task and the method are checked
        when these are loaded.

    Raises:
        BenchError: Keys are missing, unknown or wrong; the message names the file and each key.
    """
    spec = record.spec
    mistakes = Mistakes()
    data = Data()
    if not 0 <= spec.seed <= _MOST_SEED:
        mistakes.add(f"spec.seed must be from 0 to {_MOST_SEED}, not {spec.seed}")
    with mistakes.gathered():
        validate.build(Recipe, spec.recipe, "spec.recipe")
    with mistakes.gathered():
        data = validate.build(Data, spec.data, "spec.data")
    for name, source in spec.streams.items():
        with mistakes.gathered():
            validate.build(StreamSource, source, f"spec.streams.{name}")
    if mistakes.problems:
        problems = "; ".join(mistakes.problems)
        raise BenchError(f"{path}: the record was altered, and its run cannot be set up again: {problems}")
    return replace(spec, data=data.to_config())
