"""Experiment files: the runs of a study as TOML, in stages. `bench run FILE.toml` reads them.

The keys are the options of `bench run` without dashes. Those at the top of the file apply to all stages, a stage's
apply to its runs, and a variation is a method with changes of its own, under a label.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from bench import registry
from bench.config import toml, validate
from bench.config.experiment_keys import DEFAULT_SEEDS, ExperimentTable, StageTable, VariationTable
from bench.config.plan import RunRequest
from bench.config.quantities import parameters
from bench.config.shipped import tuned_path
from bench.config.suite import DEFAULT_SUITE, Suite, load_suite, read_toml
from bench.config.tuned_settings import Tuned, read_tuned
from bench.errors import Mistakes, UsageError, did_you_mean

_Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """Runs of a stage that are requested together.

    Attributes:
        place: Their keys in the file, for messages: `stages.main`; empty for a file without stages.
        labels: Their labels by method: the label of the variation, or the method's own name.
        request: The runs.
        untuned: Their file of tuned settings, if it does not exist yet: a mistake for those who want these runs.
    """

    place: str
    labels: dict[str, str]
    request: RunRequest
    untuned: Path | None = None


@dataclass(frozen=True)
class Stage:
    """A stage: its name, which is empty in a file without stages, and its runs."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Experiment:
    """An experiment file; see `read_experiment`.

    Attributes:
        path: The file.
        stages: Its stages in order, without what has mistakes.
        problems: Mistakes in the file, with the key.
    """

    path: Path
    stages: tuple[Stage, ...]
    problems: tuple[str, ...] = ()

    def selected(self, names: Sequence[str]) -> tuple[Stage, ...]:
        """Return the stages of these names, in the file's order; all of them without names.

        Raises:
            UsageError: The file has no stage of a name.
        """
        known = [stage.name for stage in self.stages if stage.name]
        if unknown := [name for name in dict.fromkeys(names) if name not in known]:
            raise UsageError(
                [f"--stage {name}: {self.path} has no such stage: {did_you_mean(name, known)}" for name in unknown]
            )
        return tuple(stage for stage in self.stages if not names or stage.name in names)


def read_experiment(path: Path) -> Experiment:
    """Return the experiment in a file. Paths in it are relative to the folder that contains it.

    Its mistakes are in `problems`, so that they can be reported together with those that only planning shows.

    Raises:
        UsageError: The file does not exist, or is not TOML.
    """
    if not path.is_file():
        raise UsageError(f"there is no experiment file {path}")
    reader = _Reader(path.parent)
    stages = reader.stages(read_toml(path))
    return Experiment(path, tuple(stages), tuple(reader.mistakes.problems))


@dataclass(frozen=True)
class _Entry:
    """A method that a stage does, or a variation.

    Attributes:
        label: The label; a method's is its name.
        method: Name of the method.
        place: Keys of the variation in the file; those of the stage for a method.
        values: Keys of the variation, without `method`; empty for a method.
    """

    label: str
    method: str
    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class _Draft:
    """The runs of one entry in a stage.

    Attributes:
        entry: The method or variation.
        values: Its keys, with those of the stage and the file for those that it does not have.
        levels: The keys of file, stage and variation, each with its place.
        names: The methods, tasks and streams whose settings the runs depend on.
    """

    entry: _Entry
    values: dict[str, Any]
    levels: tuple[tuple[str, Mapping[str, Any]], ...]
    names: frozenset[str]

    @property
    def sets(self) -> dict[str, _Tables]:
        """The tables `set` of file, stage and variation, by their place."""
        return {place: table["set"] for place, table in self.levels if table.get("set")}

    def place(self, key: str) -> str | None:
        """Return where in the file the value of a key is from; None if no level has it."""
        return next((_joined(place, key) for place, table in reversed(self.levels) if key in table), None)

    @property
    def conditions(self) -> tuple[object, ...]:
        """All that runs requested together have in common."""
        keys = ("tasks", "seeds", "worlds", "settings", "budget", "streams")
        return (*(self.values.get(key) for key in keys), self.entry.values.get("set"))


class _Reader:
    """A reader of an experiment file, which collects the mistakes in it.

    Args:
        folder: The folder that contains the file.
    """

    def __init__(self, folder: Path) -> None:
        self.mistakes = Mistakes()
        self._folder = folder
        self._read: dict[str, Tuned | None] = {}
        self._untuned: dict[str | None, Path] = {}
        self._suite: Suite | None = None

    def stages(self, content: Mapping[str, Any]) -> list[Stage]:
        """Return the stages in a file's content, without what has mistakes."""
        file = self._checked(ExperimentTable, content, "")
        shared = self._variations(file, "")
        suite = str(self._path(file.get("suite", DEFAULT_SUITE)))
        with suppress(UsageError):  # which planning reports
            self._suite = load_suite(suite)
        drafts: list[tuple[str, str, list[_Draft]]] = []
        for number, table in enumerate(file.get("stages") or ({},), 1):
            place = f"stages.{table.get('name', number)}" if "stages" in content else ""
            if place and not table.get("name"):
                self.mistakes.add(f"{place}.name is missing")
            elif place in {place for _, place, _ in drafts}:
                self.mistakes.add(f"{place}: another stage has the same name")
            if missing := [key for key in ("tasks", "methods") if not _has({**content, **table}, key)]:
                self.mistakes.add(f"{' and '.join(_joined(place, key) for key in missing)} missing or empty")
            stage = self._checked(StageTable, table, place)
            entries = self._entries(file, stage, shared, place)
            group = [self._draft({**file, **stage}, (("", file), (place, stage)), entry) for entry in entries]
            drafts.append((str(table.get("name", "")), place, [draft for draft in group if draft.values["tasks"]]))
        names: dict[str, set[str]] = {}
        for draft in (draft for _, _, group in drafts for draft in group):
            for level in draft.sets:
                names.setdefault(level, set()).update(draft.names)
        return [Stage(name, tuple(self._parts(suite, place, group, names))) for name, place, group in drafts]

    def _checked(self, cls: type, table: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return the valid values of a table, in the types of the fields of `cls`."""
        values: dict[str, Any] = {}
        hints = validate.hints(cls)
        for key, value in table.items():
            if get_origin(hints.get(key)) is tuple and not isinstance(value, list):  # --set takes a single one too
                self.mistakes.add(f"{_joined(place, key)} must be a list, not {value!r}")
                with suppress(UsageError):  # the rest of the file is read as if it were one
                    values |= validate.check(cls, {key: value}, place)
                continue
            with self.mistakes.gathered():
                values |= validate.check(cls, {key: value}, place)
        try:
            if values.get("budget") is not None:
                parameters(str(values["budget"]), _joined(place, "budget"))
        except UsageError as error:
            self.mistakes.add(str(error))
            del values["budget"]
        return values

    def _variations(self, table: Mapping[str, Any], place: str) -> dict[str, _Entry]:
        """Return the variations that the file or a stage defines, by label."""
        variations: dict[str, _Entry] = {}
        for label, entry in table.get("variations", {}).items():
            own_place = _joined(place, f"variations.{label}")
            values = self._checked(VariationTable, entry, own_place)
            if label in registry.names("methods"):
                self.mistakes.add(f"{own_place}: {label} is the name of a method; choose another label")
            if "method" not in entry:
                self.mistakes.add(f"{own_place}.method is missing")
            variations[label] = _Entry(label, values.pop("method", ""), own_place, values)
        return variations

    def _entries(
        self, file: Mapping[str, Any], stage: Mapping[str, Any], shared: Mapping[str, _Entry], place: str
    ) -> list[_Entry]:
        """Return the methods and variations of a stage: its own, else those of the file."""
        defined = self._variations(stage, place)
        source, table, variations = (place, stage, defined) if "methods" in stage or defined else ("", file, shared)
        entries = []
        for label in dict.fromkeys([*table.get("methods", ()), *variations]):
            entry = defined.get(label) or shared.get(label) or _Entry(label, label, source, {})
            try:
                registry.load("methods", entry.method)
            except UsageError as error:
                key = _joined(entry.place, "methods" if entry.label == entry.method else "method")
                hint = f"; or a variation: {did_you_mean(label, shared)}" if shared and label == entry.method else ""
                if entry.method:
                    self.mistakes.add(f"{key}: {error}{hint}")
            else:
                entries.append(entry)
        return entries

    def _draft(
        self, outer: Mapping[str, Any], levels: tuple[tuple[str, Mapping[str, Any]], ...], entry: _Entry
    ) -> _Draft:
        """Return the runs of an entry.

        Args:
            outer: The keys of its stage, and those of the file that the stage does not have.
            levels: The file and the stage, each with its place.
            entry: The method or variation.
        """
        outer = {"tasks": (), "seeds": DEFAULT_SEEDS, "worlds": (), **outer}
        values = {**outer, **entry.values}
        for key in ("tasks", "seeds", "worlds"):
            restricted = bool(
                outer[key] or (key == "worlds" and values[key])
            )  # without worlds, the suite's is the only one
            values[key] = tuple(value for value in dict.fromkeys(outer[key]) if value in values[key])
            if restricted and not values[key]:
                known = ", ".join(map(str, outer[key])) or "only that of the suite"
                self.mistakes.add(f"{entry.place}.{key}: the stage has none of these {key}: it has {known}")
        names = {entry.method, *values["tasks"], str(values.get("budget"))}
        for task in values["tasks"]:
            with suppress(UsageError):  # which planning reports
                names.update(self._suite.task(task).sources if self._suite else ())
        return _Draft(entry, values, (*levels, (entry.place, entry.values)), frozenset(names))

    def _parts(self, suite: str, place: str, drafts: Sequence[_Draft], names: Mapping[str, set[str]]) -> Iterator[Part]:
        """Yield the requests for the runs of a stage; runs that differ in the method only are requested together."""
        groups: list[list[_Draft]] = []
        for draft in drafts:
            for group in groups:
                methods = {member.entry.method for member in group}
                if draft.conditions == group[0].conditions and draft.entry.method not in methods:
                    group.append(draft)
                    break
            else:
                groups.append([draft])
        for group in groups:
            values = group[0].values
            requested = {name for draft in group for name in draft.names}
            budget = values.get("budget")
            changes, places = self._changes(group[0], requested, names)
            yield Part(
                group[0].entry.place if group[0].entry.label != group[0].entry.method else place,
                {draft.entry.method: draft.entry.label for draft in group},
                RunRequest(
                    suite,
                    [draft.entry.method for draft in group],
                    values["tasks"],
                    values["seeds"],
                    [f"{key}={toml.inline(value)}" for key, value in changes.items()],
                    None if budget is None else str(budget),
                    self._tuned(values.get("settings")),
                    places,
                    values["worlds"],
                ),
                self._untuned.get(values.get("settings")),
            )

    def _changes(
        self, draft: _Draft, requested: Collection[str], names: Mapping[str, Collection[str]]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the changed settings by the keys that `--set` takes, and where in the file they and the budget are.

        A table `set` may change settings of methods, tasks and streams that only some of its runs have.

        Args:
            draft: The runs.
            requested: The methods, tasks and streams of the request.
            names: Methods, tasks and streams of all runs that a table `set` applies to, by its place.
        """
        changes: dict[str, Any] = {}
        places: dict[str, str] = {}
        for level, tables in draft.sets.items():
            for owner, table in tables.items():
                if owner in requested or owner not in names[level]:
                    for key, value in table.items():
                        changes[f"{owner}.{key}"] = self._path(value) if key == "model" else value
                        places[f"{owner}.{key}"] = _joined(level, f"set.{owner}.{key}")
        for name, key in (("streams", "data.streams"), ("budget", "budget"), ("worlds", "worlds")):
            if place := draft.place(name):
                places[key] = place
        if "streams" in draft.values:
            changes["data.streams"] = draft.values["streams"]
        return changes, places

    def _tuned(self, name: str | None) -> Tuned | None:
        """Return the tuned settings of that name, or in that file, which is read once."""
        if name is not None and name not in self._read:
            self._read[name] = None
            path = self._folder / name if name.endswith(".toml") else None
            if path and not path.exists():
                self._untuned[name] = path
                return None
            with self.mistakes.gathered():
                self._read[name] = read_tuned(path or tuned_path(name))
        return None if name is None else self._read[name]

    def _path(self, value: Any) -> Any:
        """Return a path that exists in the file's folder as seen from the working folder; any other value unchanged."""
        path = self._folder / value if isinstance(value, str) else None
        return os.path.normpath(path) if path and path.exists() else value


def _joined(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _has(table: Mapping[str, Any], key: str) -> bool:
    """Return whether a table has a key that is not empty; variations count as methods."""
    return bool(table.get(key) or (key == "methods" and table.get("variations")))
