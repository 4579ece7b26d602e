"""Suites: TOML files that define the data, the streams and the training recipe of each task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.config import toml, validate
from bench.config.recipe import PER_METHOD, Recipe
from bench.errors import BenchError, Mistakes, UsageError, did_you_mean
from bench.files import KIBIBYTE, read_text
from bench.streams import limits

DEFAULT_SUITE = "mini"
_FOLDER = Path(__file__).parents[1] / "suites"
MAX_TOML_BYTES = 256 * KIBIBYTE  # of a file; the built-in suites have less than 4 KiB


@dataclass(frozen=True)
class Data:
    """The data of runs. The location of releases is not part of it, since that does not affect results."""

    source: Literal["generated", "composed", "official", "own"] = "generated"
    """`generated`: the embedded data; `composed`: data that is composed from pictures and sounds that the user has;
    `official`: the benchmark's official release; `own`: a user's own data, or a part
    or a variant of a release, which tables then do not call official."""
    path: str = ""
    """The user's own data: a CSV or a folder of images, relative to the suite's file. --data-root overrides it. It is
    not part of a run's id; a run is done again if the files have changed."""
    version: int = 1
    """Version of the generator, of generated and composed data."""
    seed: int = 0
    """Seed of the generator."""
    sounds: Literal["calls", "names"] = "calls"
    """What is heard of a thing in composed videos: its recorded `calls`, or its spoken `names`, in the tests in a
    language that training does not have."""
    skip_unreadable: bool = False
    """Leave out and count samples whose files cannot be read, instead of stopping at the first one."""
    streams: tuple[str, ...] = ()
    """For control runs: the streams that get their inputs. The others get the input of the first training sample for
    all samples, so that nothing can be learned from them. Empty for ordinary runs, in which all streams get theirs."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be below 0, not {self.seed}")
        if self.sounds != "calls" and self.source != "composed":
            raise ValueError(f'sounds is for source = "composed" only, not {self.source}')
        if self.path and self.source != "own":
            raise ValueError(f'path is for source = "own" only, not {self.source}: use --data-root')

    def to_config(self) -> dict[str, Any]:
        """Return the fields that identify the data, as JSON types."""
        plain = asdict(self)
        if self.source not in ("generated", "composed"):
            del plain["version"], plain["seed"]
        if self.path:
            plain["path"] = os.path.abspath(self.path)  # noqa: PTH100 - `resolve` would follow links
        else:
            del plain["path"]
        if self.sounds == "calls":
            del plain["sounds"]
        if not self.skip_unreadable:
            del plain["skip_unreadable"]
        if not self.streams:
            del plain["streams"]
        return plain


@dataclass(frozen=True)
class StreamSource:
    """Where a stream's pretrained encoder comes from."""

    model: str
    """`embedded:<name>`, a folder, or the id of a Hugging Face model that is in the local cache."""
    size: int | None = None
    """Side length of images in pixels; none for the checkpoint's."""
    frames: int | None = None
    """Number of 10 ms frames that each second (or window) of audio is padded to; none for no padding."""
    length: int | None = None
    """Maximum number of tokens of a text; none for the checkpoint's, or 40."""
    window_s: float | None = None
    """Seconds of audio per picture, in windows spread evenly over the recording; none for the one second that belongs
    to the picture."""
    pad: Literal["zeros", "mean"] | None = None
    """Padding of shorter spectrograms: `zeros` (the default) pads log-mel values with 0 before they are normalized, as
    for AST; `mean` pads with their mean, which equals padding with 0 after normalization."""
    mean: float | None = None
    """Mean of the log-mel values, for normalization; none for the checkpoint's."""
    std: float | None = None
    """Standard deviation of the log-mel values, for normalization; none for the checkpoint's."""

    def __post_init__(self) -> None:
        bounds = {
            "size": limits.SIDES,
            "frames": limits.FRAMES,
            "length": limits.TOKENS,
            "window_s": limits.WINDOWS,
            "mean": limits.MEANS,
            "std": limits.DEVIATIONS,
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, not {value}")

    def to_config(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON types."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SuiteTask:
    """A suite's settings for one task."""

    streams: tuple[str, ...] | dict[str, str]
    """Names of the task's streams; or a table from these to names in the suite's `streams`, where they differ."""
    train: dict[str, Any] = field(default_factory=dict)
    """Fields of the recipe that the task overrides."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the task itself."""
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of methods on this task, by name of the method or a pattern for several (`cola*`)."""
    deviations: tuple[str, ...] = ()
    """Deviations from the published protocol that the suite follows: one sentence each, included in every record."""

    @property
    def sources(self) -> dict[str, str]:
        """The task's streams: the name in the suite's `streams` by the name in the task."""
        return dict(self.streams) if isinstance(self.streams, dict) else {name: name for name in self.streams}


@dataclass(frozen=True)
class Suite:
    """A suite, read and checked; see `load_suite`."""

    name: str
    about: str
    data: Data
    streams: dict[str, StreamSource]
    train: Recipe
    methods: dict[str, dict[str, Any]]
    """Settings of methods on every task, by name of the method or a pattern; those of a task override them."""
    tasks: dict[str, SuiteTask]
    """Settings of tasks, by name of the task or a pattern for several (`refcoco*`)."""

    def task(self, name: str) -> SuiteTask:
        """Return the suite's settings for a task: the table with its name, or the first pattern that matches it.

        Raises:
            UsageError: There is none.
        """
        for pattern in (name, *self.tasks):
            if pattern in self.tasks and fnmatchcase(name, pattern):
                return self.tasks[pattern]
        tables = {suite: read_toml(path).get("tasks", {}) for suite, path in _paths().items()}
        suites = sorted(suite for suite, tasks in tables.items() if any(fnmatchcase(name, task) for task in tasks))
        hint = f"; suites with it: {', '.join(suites)}" if suites else ""
        if name.startswith("own-"):
            hint = ": `bench init-suite` writes a suite for your data"
        raise UsageError(f"suite {self.name} has no task {name}; it has {', '.join(self.tasks)}{hint}")

    def method_settings(self, name: str, task: str) -> dict[str, Any]:
        """Return the suite's settings for a method on a task, including fields of the recipe in `PER_METHOD`.

        More specific tables override general ones: a task's override the suite's, and a name's a pattern's.
        """
        settings: dict[str, Any] = {}
        for tables in (self.methods, self.task(task).methods):
            for pattern, values in sorted(tables.items(), key=lambda item: item[0] == name):
                if fnmatchcase(name, pattern):
                    settings |= values
        return settings


@dataclass(frozen=True)
class _File:
    """The tables of a suite's file."""

    name: str
    about: str
    data: dict[str, Any]
    streams: dict[str, dict[str, Any]]
    train: dict[str, Any]
    tasks: dict[str, dict[str, Any]]
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)


def suite_names() -> list[str]:
    """Return the names of the built-in suites and of those that installed packages bring."""
    return sorted(_paths())


def suite_summary(name: str) -> str:
    """Return the one-line description of a named suite."""
    return str(read_toml(_paths()[name]).get("about", ""))


def _paths() -> dict[str, Path]:
    """Return the file of each named suite.

    An entry point `<name> = "<package>"` of the group `bench.suites` names the file `<name>.toml` in the package's
    folder. The package is not imported.

    Raises:
        BenchError: Two suites have the same name.
    """
    paths = {path.stem: path for path in _FOLDER.glob("*.toml")}
    for name, entry in registry.registered("suites").items():
        if name in paths:
            raise BenchError(f"there is a suite {name} already: {entry.value} must give its suite another name")
        if (package := find_spec(entry.module)) and package.origin:
            paths[name] = Path(package.origin).with_name(f"{name}.toml")
    return paths


def load_suite(name_or_path: str) -> Suite:
    """Return the suite of that name, or the one in a file if the path ends in `.toml`.

    Raises:
        UsageError: There is no such suite, or it is wrong; the message lists all mistakes, with the file and the key.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else _paths().get(name_or_path)
    if path is None:
        suggestion = did_you_mean(name_or_path, suite_names())
        raise UsageError(f"unknown suite {name_or_path}: {suggestion}; or give the path of a .toml file")
    if not path.is_file():
        raise UsageError(f"there is no suite file {path}")
    content = read_toml(path)
    try:
        return _suite(content, path.parent)
    except UsageError as error:
        raise UsageError([f"{path}: {problem}" for problem in error.problems]) from error


def split_method(method: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split values into settings of the method and fields of the recipe in `PER_METHOD`."""
    recipe_fields = [name for name in PER_METHOD if name not in validate.hints(method)]
    return (
        {name: value for name, value in values.items() if name not in recipe_fields},
        {name: value for name, value in values.items() if name in recipe_fields},
    )


def check_method(method: str, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the values in a table of a method, converted to the types of the method's and the recipe's fields.

    Args:
        method: Name of the method.
        values: Its settings, and fields of the recipe in `PER_METHOD`.
        prefix: Name of the table of methods, for messages.

    Raises:
        UsageError: Names are unknown or values wrong; the message lists all of them.
    """
    cls = registry.load("methods", method)
    owners: dict[str, type] = {**dict.fromkeys(PER_METHOD, Recipe), **dict.fromkeys(validate.hints(cls), cls)}
    checked: dict[str, Any] = {}
    mistakes = Mistakes()
    for name, value in values.items():
        if name not in owners:
            mistakes.add(f"unknown key {prefix}.{method}.{name}: {did_you_mean(name, owners)}")
            continue
        with mistakes.gathered():
            checked |= validate.check(owners[name], {name: value}, f"{prefix}.{method}")
    mistakes.raise_if_any()
    return checked


def parse_value(text: str) -> Any:
    """Return a value from the command line, parsed as TOML; text that is not TOML is returned unchanged."""
    try:
        return toml.parse(f"value = {text}")["value"]
    except ValueError:
        return text


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        UsageError: The file cannot be read or parsed.
    """
    try:
        return toml.parse(read_text(path, MAX_TOML_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable TOML file: {error}") from error


def _suite(content: Mapping[str, Any], folder: Path) -> Suite:
    """Return the suite in a file's content, and check all of it, including tasks and methods that are not requested.

    Args:
        content: The content of the file.
        folder: The folder of the file, which `data.path` is relative to.
    """
    file = validate.build(_File, content, prefix="")
    mistakes = Mistakes()
    streams: dict[str, StreamSource] = {}
    tasks: dict[str, SuiteTask] = {}
    with mistakes.gathered():
        data = validate.build(Data, file.data, "data")
        if data.path:
            data = replace(data, path=str(folder / Path(data.path).expanduser()))
    for name, table in file.streams.items():
        with mistakes.gathered():
            streams[name] = validate.build(StreamSource, table, f"streams.{name}")
    with mistakes.gathered():
        recipe = validate.build(Recipe, file.train, "train")
    for name, table in file.tasks.items():
        with mistakes.gathered():
            tasks[name] = _task(name, table, known_streams=file.streams)
    _check_methods(file.methods, "methods", mistakes)
    mistakes.raise_if_any()
    return Suite(file.name, file.about, data, streams, recipe, file.methods, tasks)


def _task(name: str, table: Mapping[str, Any], known_streams: Mapping[str, Any]) -> SuiteTask:
    prefix = f"tasks.{name}"
    task = validate.build(SuiteTask, table, prefix)
    mistakes = Mistakes()
    for stream in task.sources.values():
        if stream not in known_streams:
            mistakes.add(f"{prefix}.streams: unknown stream {stream}: {did_you_mean(stream, known_streams)}")
    with mistakes.gathered():
        validate.check(Recipe, task.train, f"{prefix}.train")
    if "*" not in name:
        with mistakes.gathered():
            validate.check(registry.load("tasks", name), task.settings, f"{prefix}.settings")
    _check_methods(task.methods, f"{prefix}.methods", mistakes)
    mistakes.raise_if_any()
    return task


def _check_methods(methods: Mapping[str, dict[str, Any]], prefix: str, mistakes: Mistakes) -> None:
    """Check the tables of named methods; those of patterns are checked when they are used."""
    for method, values in methods.items():
        if "*" not in method:
            with mistakes.gathered():
                check_method(method, values, prefix)
