"""Methods and tasks by name, found by entry points: the built-in ones and a third party's alike.

An entry point may stand for a family: one that is called `peft:<type>` answers to every name that begins with `peft:`,
and its class has a class method `named` that returns the class for the rest of the name.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError, UsageError, did_you_mean

Kind = Literal["methods", "tasks", "executors"]

_added: dict[str, dict[str, type[Any]]] = {"methods": {}, "tasks": {}, "executors": {}}


def entry_points(group: str) -> metadata.EntryPoints:
    """The entry points of all that is installed."""
    return _entry_points(group, tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> metadata.EntryPoints:
    """Reads the metadata of all that lies on the path: 15 ms, and a plan asks for every run."""
    return metadata.entry_points(group=group)


def names(kind: Kind) -> list[str]:
    """Names of all registered methods or tasks, sorted; a family goes by its form, as in `peft:<type>`."""
    return sorted({*_registered(kind), *_added[kind]})


def load(kind: Kind, name: str) -> type[Any]:
    """The class registered under `name`; imports its module.

    Raises:
        UsageError: nothing has that name.
        BenchError: the module or the class cannot be imported.
    """
    if name in _added[kind]:
        return _added[kind][name]
    if _prefix(name):
        raise UsageError(f"{name} stands for many {kind}: write one's name in place of <...>")
    entry = _entry(kind, name)
    try:
        cls = entry.load()
    except (ImportError, AttributeError) as error:
        raise BenchError(f"{kind[:-1]} {name} cannot be imported from {entry.value}: {error}") from error
    return cls if entry.name == name else cls.named(name.removeprefix(_prefix(entry.name)))


def add(kind: Kind, name: str, cls: type[Any]) -> None:
    """Registers a class under a name for this process, in place of one that was added before.

    Raises:
        UsageError: an installed one has that name.
    """
    if name in _registered(kind):
        raise UsageError(f"there is a {kind[:-1]} {name} already: give yours another name")
    _added[kind][name] = cls


def name_of(kind: Kind, cls: type[Any]) -> str | None:
    """The name that a class is registered under; None where it has none, or stands for a family.

    Raises:
        BenchError: a package that may have given it one cannot be imported.
    """
    if found := next((name for name, added in _added[kind].items() if added is cls), None):
        return found
    package = cls.__module__.partition(".")[0]
    near = (name for name, entry in _registered(kind).items() if entry.module.partition(".")[0] == package)
    return next((name for name in near if not _prefix(name) and load(kind, name) is cls), None)


def is_foreign(kind: Kind, name: str) -> bool:
    """Whether the class registered under just this name is somebody else's, and so no member of a family either."""
    registered = _registered(kind)
    return name in _added[kind] or (name in registered and not registered[name].module.startswith("bench."))


def summary(kind: Kind, name: str) -> str:
    """First line of the class's docstring, read from the source: the module is not imported. "" where there is none."""
    if name in _added[kind]:
        return (_added[kind][name].__doc__ or "").partition("\n")[0]
    entry = _entry(kind, name)
    try:
        spec = find_spec(entry.module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == entry.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _registered(kind: Kind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"bench.{kind}"):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise BenchError(f"two {kind} are called {entry.name}: {other.value} and {entry.value}; uninstall one")
    return found


def _entry(kind: Kind, name: str) -> EntryPoint:
    """The entry point of that name, or of the family that the name belongs to."""
    registered = _registered(kind)
    if name in registered:
        return registered[name]
    for family, entry in registered.items():
        if (prefix := _prefix(family)) and name.startswith(prefix) and name != prefix:
            return entry
    raise UsageError(f"unknown {kind[:-1]} {name}: {did_you_mean(name, {*registered, *_added[kind]})}")


def _prefix(name: str) -> str:
    """What the names of a family begin with; "" where it is no family."""
    return name.partition("<")[0] if name.endswith(">") else ""
