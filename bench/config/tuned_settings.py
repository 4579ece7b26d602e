"""Tuned settings: the TOML file that `bench tune` writes and `bench run --settings` takes."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomlkit

from bench import registry
from bench.config import validate
from bench.config.spec import Spec
from bench.config.suite import check_method, read_toml
from bench.errors import BenchError, Mistakes, UsageError
from bench.files import write_text

_log = logging.getLogger(__name__)

Pair = tuple[str, str]
"""A task and a method."""

_ABOUT = """\
Settings of methods, as `bench tune` found them; for `bench run --settings`.
Every method had the same trials, the first of them with the suite's own values, the same epochs and the same seeds.
Chosen by the best validation score, its mean over the seeds; no test split was scored. A trial of which a run failed
counts as one, and as the worst.
"""
_COMPARED = ("suite", "trials", "epochs", "seeds", "set", "budget")


@dataclass(frozen=True)
class Tuning:
    """How settings were searched: the table `tuning` of the file."""

    suite: str
    """Name of the suite."""
    trials: int
    """Trials of each method on each task."""
    epochs: int | Literal["suite"]
    """Of each trial; "suite" for the suite's own."""
    seeds: tuple[int, ...]
    """Seeds of each trial."""
    set: tuple[str, ...]
    """What --set changed."""
    budget: str = field(default="none", kw_only=True)  # older files say nothing of it
    """What --budget said of the methods' sizes; "none" for their own."""
    date: str
    """When the file was last written: UTC, ISO 8601."""
    version: str
    """Version of bench that wrote it."""


@dataclass(frozen=True)
class Tuned:
    """A file of tuned settings, read and checked; see `read_tuned`.

    Attributes:
        file: its name.
        sha256: checksum of its bytes.
        tuning: how its settings were searched.
        values: settings, and what a method may have of the recipe for itself, by task and method.
    """

    file: str
    sha256: str
    tuning: Tuning
    values: Mapping[Pair, Mapping[str, Any]]

    def settings_of(self, task: str, method: str) -> Mapping[str, Any]:
        """Return what the file says of a method on a task; nothing where it does not name them."""
        return self.values.get((task, method), {})

    def check_suite(self, suite: str) -> None:
        """Check that the settings are of this suite.

        Raises:
            UsageError: they are of another one.
        """
        if suite != self.tuning.suite:
            raise UsageError(
                f"--settings {self.file} was tuned on suite {self.tuning.suite}, and this is {suite}: what is best "
                f"there need not be here; tune on this one with `bench tune --suite`"
            )

    def check_budget(self, budget: str | None) -> None:
        """Warn where the settings were tuned at other sizes than the methods are to have."""
        if (budget or "none") != self.tuning.budget:
            _log.warning(
                "%s was tuned with --budget %s, and this is %s: what is best at one size need not be at another",
                self.file,
                self.tuning.budget,
                budget or "none",
            )

    def missing(self, specs: Sequence[Spec]) -> list[Pair]:
        """Return the tasks and methods of these runs that the file has no settings for."""
        return [pair for pair in dict.fromkeys((spec.task, spec.method) for spec in specs) if pair not in self.values]

    def record_entry(self, spec: Spec) -> dict[str, Any] | None:
        """Return what the run's record says of the file; None where the run has not, or not only, the file's values."""
        values = self.settings_of(spec.task, spec.method)
        if not values or any(spec.method_settings[name] != value for name, value in values.items()):
            return None
        return {"file": self.file, "sha256": self.sha256, "tuning": _plain(asdict(self.tuning))}


@dataclass(frozen=True)
class _File:
    """The tables of the file."""

    tuning: dict[str, Any]
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """The tables of one task."""

    methods: dict[str, dict[str, Any]]


def read_tuned(path: Path) -> Tuned:
    """Return the settings in a file.

    Raises:
        UsageError: it is not there, or with every mistake in it, each with the file and the key.
    """
    if not path.is_file():
        raise UsageError(f"there is no file of settings {path}: `bench tune` writes one")
    content = read_toml(path)
    mistakes = Mistakes()
    values: dict[Pair, Mapping[str, Any]] = {}
    tuning: Tuning | None = None
    with mistakes.gathered():
        file = validate.build(_File, content, prefix="")
        with mistakes.gathered():
            tuning = validate.build(Tuning, file.tuning, "tuning")
        for task, table in file.tasks.items():
            with mistakes.gathered():
                registry.load("tasks", task)
            methods: Mapping[str, dict[str, Any]] = {}
            with mistakes.gathered():
                methods = validate.build(_Task, table, f"tasks.{task}").methods
            for method, settings in methods.items():
                with mistakes.gathered():
                    values[task, method] = _plain(check_method(method, settings, f"tasks.{task}.methods"))
    if mistakes.problems or tuning is None:
        raise UsageError([f"{path}: {problem}" for problem in mistakes.problems])
    return Tuned(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), tuning, values)


def check_mergeable(path: Path, tuning: Tuning) -> None:
    """Check that what this tuning finds may be added to the file, if there is one.

    Raises:
        UsageError: the file cannot be read, or is of another tuning.
    """
    if not path.exists():
        return
    earlier = read_tuned(path).tuning
    differing = [name for name in _COMPARED if getattr(earlier, name) != getattr(tuning, name)]
    if differing:
        listing = "; ".join(f"{name} {_shown(earlier, name)}, now {_shown(tuning, name)}" for name in differing)
        raise UsageError(
            f"{path} is of another tuning ({listing}), and settings of both in one file would not be comparable: "
            "give another --out, or delete the file"
        )


def _shown(tuning: Tuning, name: str) -> str:
    return tomlkit.item(_plain(asdict(tuning))[name]).as_string()


def write_tuned(path: Path, tuning: Tuning, best: Mapping[Pair, Mapping[str, Any]], about: Mapping[Pair, str]) -> None:
    """Write settings, whole or not at all; keep what a file of the same tuning says of other tasks and methods.

    Args:
        path: the file.
        tuning: how they were searched.
        best: settings by task and method.
        about: a line on each, as a comment.

    Raises:
        UsageError: the file that is there is of another tuning.
        BenchError: it cannot be written.
    """
    check_mergeable(path, tuning)
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else _document()
    document["tuning"].update(_plain(asdict(tuning)))
    for (task, method), values in best.items():
        methods = document
        for key in ("tasks", task, "methods"):
            methods = methods.setdefault(key, tomlkit.table(is_super_table=True))
        methods[method] = _table(values, about[task, method])
    text = re.sub(r"\n\n+\[", "\n\n[", tomlkit.dumps(document).rstrip() + "\n")
    try:
        write_text(path.resolve(), text)  # the user's own link is followed
    except OSError as error:
        raise BenchError(f"\n{text}\nthese settings, printed above, cannot be written to {path}: {error}") from error


def _document() -> Any:
    document = tomlkit.document()
    for line in _ABOUT.splitlines():
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    document["tuning"] = tomlkit.table()
    return document


def _table(values: Mapping[str, Any], about: str) -> Any:
    table = tomlkit.table()
    table.add(tomlkit.comment(about))
    for name, value in values.items():
        table.add(name, "none" if value is None else value)  # as --set writes it: TOML has no other word
    table.add(tomlkit.nl())
    return table


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON and TOML hold them, and as specifications do: lists for tuples."""
    return json.loads(json.dumps(values))
