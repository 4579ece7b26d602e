"""Settings from a suite for user-defined methods, which inherit those of the method that they derive from.

The methods of this package inherit nothing: a suite names each one whose settings differ from its defaults.
"""

from __future__ import annotations

import dataclasses
import logging
from functools import cache
from typing import Any

from bench import registry
from bench.config.recipe import PER_METHOD
from bench.config.suite import Suite

_log = logging.getLogger(__name__)


def method_settings(suite: Suite, name: str, cls: type, task: str) -> dict[str, Any]:
    """Return a suite's settings for a method on a task, including inherited ones.

    If the suite or the task has a table of the method's name, nothing is inherited. Otherwise the method inherits the
    settings of the nearest method that its class derives from, except for fields that the class lacks or has another
    default for. Settings from a pattern that matches its name override inherited ones.

    Args:
        suite: The suite.
        name: Name of the method.
        cls: Class of the method.
        task: Name of the task.
    """
    _, inherited = _inherited(suite, name, cls, task)
    return {**inherited, **suite.method_settings(name, task)}


def warn(suite: Suite, name: str, cls: type, task: str) -> None:
    """Warn of the settings that a method and its bases inherit, once; the arguments are those of `method_settings`."""
    base, inherited = _inherited(suite, name, cls, task)
    if base:
        warn(suite, *base, task)
    if base and inherited:
        listing = ", ".join(f"{key}={value}" for key, value in inherited.items())
        _warn_once(
            f"{name} on {task} inherits settings of {base[0]}, which it derives from, in suite {suite.name}: {listing}"
        )


def _inherited(suite: Suite, name: str, cls: type, task: str) -> tuple[tuple[str, type] | None, dict[str, Any]]:
    """Return the method that a method inherits settings from, by name and class, and these; None if there is none."""
    settings = suite.method_settings(name, task)
    named = name in suite.methods or name in suite.task(task).methods
    if named or not registry.is_foreign("methods", name) or (base := _base(cls)) is None:
        return None, {}
    base_name, base_class = base
    defaults = _defaults(cls)
    return base, {
        key: value
        for key, value in method_settings(suite, base_name, base_class, task).items()
        if key not in settings and (key in PER_METHOD or defaults.get(key, cls) == _defaults(base_class).get(key))
    }


def _base(cls: type) -> tuple[str, type] | None:
    """Return the nearest class among the bases that is a method with a name, and that name."""
    for base in cls.__mro__[1:]:
        if name := registry.name_of("methods", base):
            return name, base
    return None


def _defaults(cls: type) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(cls) if field.init}


@cache
def _warn_once(message: str) -> None:
    """Warn once per process, however often runs are planned."""
    _log.warning("%s", message)
