"""Methods, tasks, datasets, executors and families of encoders by name, from the entry points of all packages.

An entry point may stand for a family: the one named `peft:<type>` stands for every name that begins with `peft:`, and
its class has a class method `named` that returns the class for the rest of the name.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from dataclasses import is_dataclass
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin

from bench.errors import BenchError, UsageError, did_you_mean, wording

Kind = Literal["methods", "tasks", "datasets", "executors", "encoders"]

_ATTRIBUTES: dict[Kind, tuple[str, ...]] = {"tasks": ("benchmark", "layout", "metric", "metrics")}
"""Attributes that a class must define, besides its base's abstract methods."""

_METHOD = ("bench.methods.base", "Method")
"""The module and the name of the class that methods derive from; this module must not import it."""

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
        UsageError: No class has that name, it cannot be imported, it is none of that kind, or it lacks required
            members; the message lists all of them.
        BenchError: Two packages register that name.
    """
    if name in _added[kind]:
        return _complete(kind, name, _added[kind][name])
    if _prefix(name):
        raise UsageError(f"{name} stands for many {kind}: replace <...> by the name of one")
    entry = _entry(kind, name)
    try:
        cls = entry.load()
    except (Exception, SystemExit) as error:  # whatever a third party's module raises
        raise UsageError(
            f"{kind[:-1]} {name} cannot be imported from {entry.value}: {type(error).__name__}: {wording(error)}"
        ) from error
    return _complete(kind, name, cls if entry.name == name else cls.named(name.removeprefix(_prefix(entry.name))))


def _complete(kind: Kind, name: str, cls: Any) -> Any:
    """Return a class that defines everything its kind requires.

    Raises:
        UsageError: It is no class of that kind, or members are missing; the message lists all of them.
    """
    if kind == "methods":
        _check_method(name, cls)
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


def _check_method(name: str, cls: Any) -> None:
    """Check that what is registered is a method, all of whose fields are settings.

    A class that derives from a dataclass is one too, but without a decorator of its own its fields are no settings: a
    value for one would be unknown, or leave the default of its base.

    Raises:
        UsageError: It is not.
    """
    bases = cls.__mro__ if isinstance(cls, type) else ()
    methods = [
        base for base in bases if _METHOD in ((ancestor.__module__, ancestor.__name__) for ancestor in base.__mro__)
    ]
    if not methods:
        raise UsageError(
            f"method {name}: {cls!r} is not a method: it must be a dataclass that derives from bench.Method, as "
            "docs/extend/method.md describes"
        )
    for base in methods:
        if "__dataclass_fields__" in vars(base):
            continue
        fields = [field for field, hint in inspect.get_annotations(base).items() if not _is_class_variable(hint)]
        if fields:
            raise UsageError(
                f"method {name}: the class {base.__module__}.{base.__qualname__} lacks the decorator @dataclass, so "
                f"{', '.join(fields)} would be no setting: add it, or annotate what is no setting as a ClassVar"
            )


def _is_class_variable(hint: Any) -> bool:
    """Return whether an annotation, which may be text, is ClassVar."""
    if isinstance(hint, str):
        return bool(re.match(r"(\w+\.)*ClassVar\b", hint))
    return hint is ClassVar or get_origin(hint) is ClassVar


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

    Entry points are compared by their text, since importing all of a package would take long, and would fail with what
    has nothing to do with the class. One that names the class in another module than its own counts too, under the
    class's name.

    Raises:
        UsageError: Its package registers a class of the same name in another module, which cannot be imported.
    """
    if added_name := next((name for name, added in _added[kind].items() if added is cls), None):
        return added_name
    for name, entry in registered(kind).items():
        if _prefix(name) or entry.module.partition(".")[0] != cls.__module__.partition(".")[0]:
            continue
        if entry.module == cls.__module__:
            candidate = _attribute(sys.modules.get(entry.module), entry.attr)
        else:
            candidate = load(kind, name) if entry.attr == cls.__qualname__ else None
        if candidate is cls:
            return name
    return None


def _attribute(module: Any, path: str) -> Any:
    """Return what a module has at a dotted path; None if there is nothing."""
    try:
        return attrgetter(path)(module)
    except AttributeError:
        return None


def is_foreign(kind: Kind, name: str) -> bool:
    """Return whether another package registered a class under exactly this name; a family's member has no entry."""
    entries = registered(kind)
    return name in _added[kind] or (name in entries and not entries[name].module.startswith("bench."))


def summary(kind: Kind, name: str) -> str:
    """Return the first line of the class's docstring, or ""; read from the source, without importing the module.

    In place of it, what is wrong with a module that cannot be read.
    """
    if name in _added[kind]:
        return (_added[kind][name].__doc__ or "").partition("\n")[0]
    entry = _entry(kind, name)
    try:
        return _described(entry)[1].partition("\n")[0]
    except Exception as error:  # whatever a third party's code raises
        return f"cannot be imported from {entry.value}: {type(error).__name__}: {wording(error)}"


def source(kind: Kind, name: str) -> tuple[Path | None, str]:
    """Return the file of a class and its docstring, without importing its module; None and "" if they are unknown."""
    if name in _added[kind]:
        return None, inspect.getdoc(_added[kind][name]) or ""
    try:
        return _described(_entry(kind, name))
    except Exception:  # whatever a third party's code raises
        return None, ""


def _described(entry: EntryPoint) -> tuple[Path | None, str]:
    """Return the file of an entry point's class, if it is Python source, and its docstring.

    Raises:
        Exception: Whatever the packages around its module raise, which are imported, or the module cannot be read.
    """
    spec = find_spec(entry.module)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {entry.module!r}")
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None, ""
    path = Path(spec.origin)
    for node in ast.parse(path.read_bytes(), spec.origin).body:
        if isinstance(node, ast.ClassDef) and node.name == entry.attr:
            return path, ast.get_docstring(node) or ""
    return path, ""


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
