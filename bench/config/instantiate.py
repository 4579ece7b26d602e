"""The task and the method of a specification, as objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import registry
from bench.config import validate
from bench.config.spec import Spec

if TYPE_CHECKING:  # both import torch
    from bench.methods.base import Method
    from bench.tasks.base import Task


def task_of(spec: Spec) -> Task:
    """Return the task of a run with the run's settings.

    Raises:
        UsageError: The task does not exist, or its settings are wrong; the message lists all mistakes.
    """
    return _instance("tasks", spec.task, spec.task_settings)


def method_of(spec: Spec) -> Method:
    """Return the method of a run with the run's settings, not attached to any model yet.

    Raises:
        UsageError: The method does not exist, or its settings are wrong; the message lists all mistakes.
    """
    return _instance("methods", spec.method, spec.settings)


def _instance(kind: registry.Kind, name: str, settings: dict[str, Any]) -> Any:
    return validate.build(registry.load(kind, name), settings, name)
