"""The task, the method, the streams and the datasets of runs, ready to be built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.config import validate
from bench.config.spec import Spec
from bench.datasets.base import Dataset, load_dataset

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


def sources_of(spec: Spec) -> dict[str, dict[str, Any]]:
    """Return the arguments of `load_stream` for each stream of a run: its source and the kind of input of its task.

    Raises:
        UsageError: The task does not exist.
    """
    kinds: Mapping[str, str] = getattr(registry.load("tasks", spec.task), "modalities", {})
    return {stream: {**source, "kind": kinds.get(stream)} for stream, source in spec.streams.items()}


def datasets_of(task: str) -> list[Dataset]:
    """Return the datasets of a task's official releases, by the task's name.

    Raises:
        UsageError: There is no such task.
    """
    cls = registry.load("tasks", task)
    return [load_dataset(layout) for layout in getattr(cls, "datasets", ()) or (cls.layout,)]


def _instance(kind: registry.Kind, name: str, settings: dict[str, Any]) -> Any:
    return validate.build(registry.load(kind, name), settings, name)
