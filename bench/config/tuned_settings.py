"""Tuned settings: the TOML file that `bench tune` writes and `bench run --settings` reads."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.config import validate
from bench.config.spec import Spec
from bench.config.suite import MAX_TOML_BYTES, check_method, parse_value, read_toml
from bench.errors import BenchError, Mistakes, UsageError
from bench.files import read_text, write_text

_log = logging.getLogger(__name__)

Pair = tuple[str, str]
"""A task and a method."""

_ABOUT = """\
Settings of methods found by `bench tune`, for `bench run --settings`.
Every method had the same number of trials, the first with the suite's own values, and the same epochs and seeds.
Selected by the best validation score, averaged over the seeds; no test split was scored. A trial with a failed run
counts as the worst.
"""
_COMPARED = ("suite", "trials", "epochs", "seeds", "set", "budget")


@dataclass(frozen=True)
class Tuning:
    """The parameters of a search for settings: the table `tuning` of the file."""

    suite: str
    """Name of the suite."""
    trials: int
    """Number of trials of each method on each task."""
    epochs: int | Literal["suite"]
    """Number of epochs of each trial; "suite" for the suite's own."""
    seeds: tuple[int, ...]
    """Seeds of each trial."""
    set: tuple[str, ...]
    """Values of --set."""
    budget: str = field(default="none", kw_only=True)  # missing in older files
    """Value of --budget; "none" if the sizes of the methods were not changed."""
    data_version: int = field(default=0, kw_only=True)  # missing in older files
    """Version of generated or composed data; 0 for other data, and where it is not known."""
    date: str
    """Time at which the file was last written: UTC, ISO 8601."""
    version: str
    """Version of bench that wrote it."""


@dataclass(frozen=True)
class Tuned:
    """A file of tuned settings, read and checked; see `read_tuned`.

    Attributes:
        file: Name of the file.
        sha256: Checksum of its bytes.
        tuning: Parameters of the search.
        values: Settings, including fields of the recipe in `PER_METHOD`, by task and method.
    """

    file: str
    sha256: str
    tuning: Tuning
    values: Mapping[Pair, Mapping[str, Any]]

    def settings_of(self, task: str, method: str) -> Mapping[str, Any]:
        """Return the settings of a method on a task; empty if the file has none for them."""
        return self.values.get((task, method), {})

    def check_suite(self, suite: str) -> None:
        """Check that the settings were tuned on this suite.

        Raises:
            UsageError: They were tuned on another one.
        """
        if suite != self.tuning.suite:
            raise UsageError(
                f"--settings {self.file} was tuned on suite {self.tuning.suite}, not on {suite}: the best settings may "
                f"differ; tune on this suite with `bench tune --suite`"
            )

    def check_budget(self, budget: str | None) -> None:
        """Warn if the settings were tuned with another budget."""
        if (budget or "none") != self.tuning.budget:
            _log.warning(
                "%s was tuned with --budget %s, not %s: the best settings may differ between sizes",
                self.file,
                self.tuning.budget,
                budget or "none",
            )

    def check_data(self, specs: Sequence[Spec]) -> None:
        """Warn if the settings were tuned on another version of generated or composed data."""
        versions = {spec.data.get("version", 0) for spec in specs}
        if self.tuning.data_version and (changed := sorted(versions - {self.tuning.data_version})):
            _log.warning(
                "%s was tuned on version %d of the data, which is %s now: the best settings may differ",
                self.file,
                self.tuning.data_version,
                " or ".join(map(str, changed)),
            )

    def missing(self, specs: Sequence[Spec]) -> list[Pair]:
        """Return the pairs of task and method of these runs that the file has no settings for."""
        return [pair for pair in dict.fromkeys((spec.task, spec.method) for spec in specs) if pair not in self.values]

    def record_entry(self, spec: Spec) -> dict[str, Any] | None:
        """Return the entry of this file in a run's record; None if the run does not use all of the file's values."""
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


def absent(path: Path) -> str:
    """Return what is said of a file that does not exist."""
    return f"the settings file {path} does not exist: `bench tune` writes one"


def read_tuned(path: Path) -> Tuned:
    """Return the settings in a file.

    Raises:
        UsageError: The file does not exist, or is wrong; the message lists all mistakes, with the file and the key.
    """
    if not path.is_file():
        raise UsageError(absent(path))
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
    """Check that settings of this search may be added to the file, if it exists.

    Raises:
        UsageError: The file cannot be read, or the parameters of its search differ.
    """
    if not path.exists():
        return
    earlier = read_tuned(path).tuning
    differing = [name for name in _COMPARED if getattr(earlier, name) != getattr(tuning, name)]
    if _changed(earlier) == _changed(tuning):  # an experiment file may quote what an option does not
        differing = [name for name in differing if name != "set"]
    if 0 not in (earlier.data_version, tuning.data_version) and earlier.data_version != tuning.data_version:
        differing.append("data_version")
    if differing:
        listing = "; ".join(f"{name} {_formatted(earlier, name)}, now {_formatted(tuning, name)}" for name in differing)
        raise UsageError(
            f"{path} is from another search ({listing}), and settings of both would not be comparable: "
            "write to another file, or delete this one"
        )


def _changed(tuning: Tuning) -> dict[str, Any]:
    """Return the values of --set by their keys."""
    return {key: parse_value(text) for key, _, text in (change.partition("=") for change in tuning.set)}


def _formatted(tuning: Tuning, name: str) -> str:
    import tomlkit  # only to write: it takes as long to import as the rest of the configuration

    return tomlkit.item(_plain(asdict(tuning))[name]).as_string()


def write_tuned(path: Path, tuning: Tuning, best: Mapping[Pair, Mapping[str, Any]], about: Mapping[Pair, str]) -> None:
    """Write settings atomically; settings of other tasks and methods in an existing file stay.

    Args:
        path: The file.
        tuning: Parameters of the search.
        best: Settings by task and method.
        about: One line about each of them, written as a comment.

    Raises:
        UsageError: The existing file is from a search with other parameters.
        BenchError: The file cannot be written.
    """
    import tomlkit

    check_mergeable(path, tuning)
    document = tomlkit.parse(read_text(path, MAX_TOML_BYTES)) if path.exists() else _document()
    document["tuning"].update(_plain(asdict(tuning)))
    for (task, method), values in best.items():
        methods = document
        for key in ("tasks", task, "methods"):
            methods = methods.setdefault(key, tomlkit.table(is_super_table=True))
        methods[method] = _table(values, about[task, method])
    text = re.sub(r"\n\n+\[", "\n\n[", tomlkit.dumps(document).rstrip() + "\n")
    try:
        write_text(path.resolve(), text)  # a symbolic link of the user is followed, not replaced
    except OSError as error:
        raise BenchError(f"\n{text}\nthese settings, printed above, cannot be written to {path}: {error}") from error


def _document() -> Any:
    import tomlkit

    document = tomlkit.document()
    for line in _ABOUT.splitlines():
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    document["tuning"] = tomlkit.table()
    return document


def _table(values: Mapping[str, Any], about: str) -> Any:
    import tomlkit

    table = tomlkit.table()
    table.add(tomlkit.comment(about))
    for name, value in values.items():
        table.add(name, "none" if value is None else value)  # as with --set: TOML has no null
    table.add(tomlkit.nl())
    return table


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON types, as specifications have them: lists instead of tuples."""
    return json.loads(json.dumps(values))
