"""Suites: TOML files that fix the data, the streams and the training recipe of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.config import toml, validate
from bench.config.recipe import PER_METHOD, Recipe
from bench.errors import Mistakes, UsageError, did_you_mean
from bench.files import KIBIBYTE, read_text
from bench.streams import limits

_FOLDER = Path(__file__).parents[1] / "suites"
_MAX_BYTES = 256 * KIBIBYTE  # bytes of a file; the built-in suites have less than 4 kB


@dataclass(frozen=True)
class Data:
    """Which data is measured on. Where it lies is not told here, since that does not alter what is measured."""

    source: Literal["generated", "official"] = "generated"
    """`generated`: the embedded data; `official`: the benchmark's own release."""
    version: int = 1
    """Version of the generator."""
    seed: int = 0
    """Seed of the generator."""
    skip_unreadable: bool = False
    """Leave samples out whose files cannot be read, and count them, instead of stopping at the first."""
    streams: tuple[str, ...] = ()
    """A control: only these streams get their inputs; every other one gets that of the first training sample for all
    samples, so that nothing can be learnt from it. None: all streams get theirs."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be below 0, not {self.seed}")

    def to_config(self) -> dict[str, Any]:
        """Return what tells this data from other data, as plain values."""
        plain = asdict(self)
        if self.source == "official":
            del plain["version"], plain["seed"]
        if not self.skip_unreadable:
            del plain["skip_unreadable"]
        if not self.streams:
            del plain["streams"]
        return plain


@dataclass(frozen=True)
class StreamSource:
    """Where a stream's pretrained encoder comes from."""

    model: str
    """`embedded:<name>`, a folder, or the id of a model on the Hugging Face hub that its cache holds."""
    size: int | None = None
    """Side of the images in pixels; none for the checkpoint's."""
    frames: int | None = None
    """Frames of 10 ms of each second (or window) of sound: padded to so many; none for its own length."""
    length: int | None = None
    """Tokens of a text; none for the checkpoint's, or 40."""
    window_s: float | None = None
    """Seconds of sound for each picture, in windows spread evenly over the recording; none for the second that the
    picture stands for."""
    pad: Literal["zeros", "mean"] | None = None
    """What a shorter spectrogram is filled up with: log-mel values of 0 (none is the same), normalized like all others,
    as AST's are; or their mean, as where sound is normalized first and then padded with 0."""
    mean: float | None = None
    """Mean of the log-mel values, by which they are normalized; none for the checkpoint's."""
    std: float | None = None
    """Their standard deviation, likewise."""

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
        """Return what tells this stream from others, as plain values; what is left to the checkpoint is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SuiteTask:
    """What a suite says of one task."""

    streams: tuple[str, ...] | dict[str, str]
    """Names of the streams that the task joins; a table where the suite calls their encoders otherwise."""
    train: dict[str, Any] = field(default_factory=dict)
    """Fields of the recipe in which the task differs from the suite."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the task's class."""
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of methods on this task, by a method's name or a pattern for several (`cola*`)."""
    deviations: tuple[str, ...] = ()
    """In what the suite departs from a published protocol that it follows: a sentence each, kept in every record."""

    @property
    def sources(self) -> dict[str, str]:
        """By the name of each stream that the task joins, the suite's name for its encoder."""
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
    """Settings of methods on every task, by a method's name or a pattern for several; a task's own come before them."""
    tasks: dict[str, SuiteTask]
    """By a task's name or a pattern for several (`refcoco*`)."""

    def task(self, name: str) -> SuiteTask:
        """Return what the suite says of a task: the table of its name, or of the first pattern that it fits.

        Raises:
            UsageError: there is none.
        """
        for pattern in (name, *self.tasks):
            if pattern in self.tasks and fnmatchcase(name, pattern):
                return self.tasks[pattern]
        raise UsageError(f"suite {self.name} has no task {name}: known: {', '.join(self.tasks)}")

    def method_settings(self, name: str, task: str) -> dict[str, Any]:
        """Return what the suite says of a method on a task: its settings and, of the recipe, what methods may have for
        themselves. The more particular table counts: a task's before the suite's, a name before a pattern.
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
    """Return names of the built-in suites."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def suite_summary(name: str) -> str:
    """Return what the built-in suite says of itself, in one line."""
    return str(read_toml(_FOLDER / f"{name}.toml").get("about", ""))


def load_suite(name_or_path: str) -> Suite:
    """Return the built-in suite of that name, or the one in the file where the path ends in `.toml`.

    Raises:
        UsageError: there is none, or with every mistake in it, each with the file and the key.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else _FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        if path.parent == _FOLDER:
            suggestion = did_you_mean(name_or_path, suite_names())
            raise UsageError(f"unknown suite {name_or_path}: {suggestion}; or give the path of a .toml file")
        raise UsageError(f"there is no suite file {path}")
    content = read_toml(path)
    try:
        return _suite(content)
    except UsageError as error:
        raise UsageError([f"{path}: {problem}" for problem in error.problems]) from error


def split_method(method: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of `values` are settings of the method, and what fields of the recipe that it may have for itself."""
    of_recipe = [name for name in PER_METHOD if name not in validate.hints(method)]
    return (
        {name: value for name, value in values.items() if name not in of_recipe},
        {name: value for name, value in values.items() if name in of_recipe},
    )


def check_method(method: str, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return what a table says of a method, converted to the types that it and the recipe have.

    Args:
        method: its name.
        values: settings, and what it may have of the recipe for itself.
        prefix: the table of methods, for messages.

    Raises:
        UsageError: with every unknown name and wrong value.
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
    """Return a value from the command line, as TOML writes it; what is no TOML is text."""
    try:
        return toml.parse(f"value = {text}")["value"]
    except ValueError:
        return text


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return toml.parse(read_text(path, _MAX_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no readable TOML: {error}") from error


def _suite(content: Mapping[str, Any]) -> Suite:
    """Check everything that a file holds, also of the tasks and methods that a command does not ask for."""
    file = validate.build(_File, content, prefix="")
    mistakes = Mistakes()
    streams: dict[str, StreamSource] = {}
    tasks: dict[str, SuiteTask] = {}
    with mistakes.gathered():
        data = validate.build(Data, file.data, "data")
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
    """Check the tables of methods by their names; what a pattern says is checked where it is used."""
    for method, values in methods.items():
        if "*" not in method:
            with mistakes.gathered():
                check_method(method, values, prefix)
