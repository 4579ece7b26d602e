"""Methods, tasks, datasets, executors and families of encoders by name, from the entry points of all packages.

An entry point may stand for a family: the one named `peft:<type>` stands for every name that begins with `peft:`, and
its class has a class method `named` that returns the class for the rest of the name.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import is_dataclass
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from bench.errors import BenchError, UsageError, did_you_mean

Kind = Literal["methods", "tasks", "datasets", "executors", "encoders"]

_ATTRIBUTES: dict[Kind, tuple[str, ...]] = {"tasks": ("benchmark", "layout", "metric", "metrics")}
"""Attributes that a class must define, besides its base's abstract methods."""

_added: dict[str, dict[str, Any]] = {kind: {} for kind in get_args(Kind)}


def entry_points(group: str) -> metadata.EntryPoints:
    """Return the entry points of a group, of all installed packages."""
    return _entry_points(group, tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> metadata.EntryPoints:
    """Read the metadata of all packages on the path; cached, since it takes 15 ms and a plan needs it for each run."""
    return metadata.entry_points(group=group)


def names(kind: Kind) -> list[str]:
    """Return the sorted names of everything of a kind; a family of methods is listed as `peft:<type>`."""
    return sorted({*registered(kind), *_added[kind]})


def load(kind: Kind, name: str) -> Any:
    """Import and return what is registered under `name`: a class, or the description of a family of encoders.

    Raises:
        UsageError: No class has that name, or the class lacks required members; the message lists all of them.
        BenchError: The module or the class cannot be imported.
    """
    if name in _added[kind]:
        return _complete(kind, name, _added[kind][name])
    if _prefix(name):
        raise UsageError(f"{name} stands for many {kind}: replace <...> by the name of one")
    entry = _entry(kind, name)
    try:
        cls = entry.load()
    except (ImportError, AttributeError) as error:
        raise BenchError(f"{kind[:-1]} {name} cannot be imported from {entry.value}: {error}") from error
    return _complete(kind, name, cls) if entry.name == name else cls.named(name.removeprefix(_prefix(entry.name)))


def _complete(kind: Kind, name: str, cls: type[Any]) -> type[Any]:
    """Return a class that defines everything its kind requires.

    Raises:
        UsageError: Members are missing; the message lists all of them.
    """
    attributes = (attribute for attribute in _ATTRIBUTES.get(kind, ()) if not hasattr(cls, attribute))
    missing = sorted({*getattr(cls, "__abstractmethods__", ()), *attributes})
    if kind == "tasks" and not is_dataclass(cls):
        missing.append("the decorator @dataclass")
    if missing:
        pronoun = "it" if len(missing) == 1 else "them"
        raise UsageError(
            f"{kind[:-1]} {name}: the class {cls.__module__}.{cls.__qualname__} lacks "
            f"{', '.join(missing)}: define {pronoun}, as docs/extend/{kind[:-1]}.md describes"
        )
    return cls


def add(kind: Kind, name: str, cls: Any) -> None:
    """Register a class, or a family of encoders, for this process; it replaces one that was added earlier.

    Raises:
        UsageError: An installed package registers that name.
    """
    if name in registered(kind):
        raise UsageError(f"there is a {kind[:-1]} {name} already: give yours another name")
    _added[kind][name] = cls


def name_of(kind: Kind, cls: type[Any]) -> str | None:
    """Return the name that a class is registered under; None if it has none, or stands for a family.

    Raises:
        BenchError: Another class that its package registers cannot be imported.
    """
    if added_name := next((name for name, added in _added[kind].items() if added is cls), None):
        return added_name
    package = cls.__module__.partition(".")[0]
    candidates = (name for name, entry in registered(kind).items() if entry.module.partition(".")[0] == package)
    return next((name for name in candidates if not _prefix(name) and load(kind, name) is cls), None)


def is_foreign(kind: Kind, name: str) -> bool:
    """Return whether another package registered a class under exactly this name; a family's member has no entry."""
    entries = registered(kind)
    return name in _added[kind] or (name in entries and not entries[name].module.startswith("bench."))


def summary(kind: Kind, name: str) -> str:
    """Return the first line of the class's docstring, or ""; read from the source, without importing the module."""
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


def registered(kind: Kind | Literal["suites"]) -> dict[str, EntryPoint]:
    """Return the entry points of a kind, by name.

    Raises:
        BenchError: Two of them have the same name.
    """
    entries: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"bench.{kind}"):
        first = entries.setdefault(entry.name, entry)
        if first.value != entry.value:
            raise BenchError(f"two {kind} are named {entry.name}: {first.value} and {entry.value}; uninstall one")
    return entries


def _entry(kind: Kind, name: str) -> EntryPoint:
    """Return the entry point of that name, or of the family that the name belongs to."""
    entries = registered(kind)
    if name in entries:
        return entries[name]
    for family, entry in entries.items():
        if (prefix := _prefix(family)) and name.startswith(prefix) and name != prefix:
            return entry
    raise UsageError(f"unknown {kind[:-1]} {name}: {did_you_mean(name, {*entries, *_added[kind]})}")


def _prefix(name: str) -> str:
    """Return the prefix of a family's members, or "" if the name is not a family's."""
    return name.partition("<")[0] if name.endswith(">") else ""
