"""Drafts of an experiment file's runs: what each level of the file says of them, before they are requested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Tables = Mapping[str, Mapping[str, Any]]
"""Changed settings, by the method, task or stream that they are of."""


@dataclass(frozen=True)
class Entry:
    """A method that a stage does, or a variation.

    Attributes:
        label: The label; a method's is its name.
        method: Name of the method.
        place: Keys of the variation in the file; those of the stage for a method.
        values: Keys of the variation, without `method`; empty for a method.
    """

    label: str
    method: str
    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """The runs of one entry in a stage.

    Attributes:
        entry: The method or variation.
        values: Its keys, with those of the stage and the file for those that it does not have.
        levels: The keys of file, stage and variation, each with its place.
        names: The methods, tasks and streams whose settings the runs depend on.
    """

    entry: Entry
    values: dict[str, Any]
    levels: tuple[tuple[str, Mapping[str, Any]], ...]
    names: frozenset[str]

    @property
    def sets(self) -> dict[str, Tables]:
        """The tables `set` of file, stage and variation, by their place."""
        return {place: table["set"] for place, table in self.levels if table.get("set")}

    def place(self, key: str) -> str | None:
        """Return where in the file the value of a key is from; None if no level has it."""
        return next((joined(place, key) for place, table in reversed(self.levels) if key in table), None)

    @property
    def conditions(self) -> tuple[object, ...]:
        """All that runs requested together have in common."""
        keys = ("tasks", "seeds", "worlds", "settings", "budget", "streams")
        return (*(self.values.get(key) for key in keys), self.entry.values.get("set"))


def joined(place: str, key: str) -> str:
    """Return a key with the place of its table before it, which is empty at the top of the file."""
    return f"{place}.{key}" if place else key
