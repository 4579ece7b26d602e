"""Experiment files: the runs of a study as TOML, in stages. `bench run FILE.toml` reads them.

The keys are the options of `bench run` without dashes. Those at the top of the file apply to all stages, a stage's
apply to its runs, and a variation is a method with changes of its own, under a label. A search finds settings that
stages use; `bench tune FILE.toml` does it.
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
from bench.config.experiment_drafts import Draft, Entry, joined
from bench.config.experiment_keys import DEFAULT_SEEDS, ExperimentTable, SearchTable, StageTable, VariationTable
from bench.config.plan import RunRequest
from bench.config.quantities import parameters
from bench.config.shipped import tuned_path
from bench.config.suite import DEFAULT_SUITE, Suite, load_suite, read_toml
from bench.config.tuned_settings import Tuned, read_tuned
from bench.errors import Mistakes, UsageError, did_you_mean


@dataclass(frozen=True)
class Part:
    """Runs of a stage that are requested together.

    Attributes:
        place: Their keys in the file, for messages: `stages.main`; empty for a file without stages.
        labels: Their labels by method: the label of the variation, or the method's own name.
        request: The runs.
        settings: Their file of tuned settings, beside the experiment's.
    """

    place: str
    labels: dict[str, str]
    request: RunRequest
    settings: Path | None = None

    @property
    def untuned(self) -> Path | None:
        """Their file of tuned settings, if it does not exist yet: a mistake for those who want these runs."""
        return self.settings if self.settings and not self.settings.exists() else None


@dataclass(frozen=True)
class Stage:
    """A stage: its name, which is empty in a file without stages, and its runs."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class SettingsSearch:
    """A search for settings.

    Attributes:
        place: Its keys in the file, for messages: `searches.tuned.toml`; empty without a file.
        request: The runs of its first trials.
        out: The file that it writes.
        trials: Trials of each method on each task.
        epochs: Epochs of each trial; None for the suite's.
    """

    place: str
    request: RunRequest
    out: Path
    trials: int
    epochs: int | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment file; see `read_experiment`.

    Attributes:
        path: The file.
        stages: Its stages in order, without what has mistakes.
        searches: Its searches in order, likewise.
        problems: Mistakes in the file, with the key.
    """

    path: Path
    stages: tuple[Stage, ...]
    searches: tuple[SettingsSearch, ...] = ()
    problems: tuple[str, ...] = ()

    def searches_of(self, stages: Sequence[Stage]) -> tuple[SettingsSearch, ...]:
        """Return the searches whose settings these stages use."""
        used = {part.settings for stage in stages for part in stage.parts}
        return tuple(search for search in self.searches if search.out in used)

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
    stages, searches = reader.read(read_toml(path))
    return Experiment(path, tuple(stages), tuple(searches), tuple(reader.mistakes.problems))


class _Reader:
    """A reader of an experiment file, which collects the mistakes in it.

    Args:
        folder: The folder that contains the file.
    """

    def __init__(self, folder: Path) -> None:
        self.mistakes = Mistakes()
        self._folder = folder
        self._read: dict[str, Tuned | None] = {}
        self._suite: Suite | None = None

    def read(self, content: Mapping[str, Any]) -> tuple[list[Stage], list[SettingsSearch]]:
        """Return the stages and searches in a file's content, without what has mistakes."""
        file = self._checked(ExperimentTable, content, "")
        shared = self._variations(file, "")
        suite = str(self._path(file.get("suite", DEFAULT_SUITE)))
        with suppress(UsageError):  # which planning reports
            self._suite = load_suite(suite)
        drafts: list[tuple[str, str, list[Draft]]] = []
        for number, table in enumerate(file.get("stages") or ({},), 1):
            place = f"stages.{table.get('name', number)}" if "stages" in content else ""
            if place and not table.get("name"):
                self.mistakes.add(f"{place}.name is missing")
            elif place in {place for _, place, _ in drafts}:
                self.mistakes.add(f"{place}: another stage has the same name")
            if missing := [key for key in ("tasks", "methods") if not _has({**content, **table}, key)]:
                self.mistakes.add(f"{' and '.join(joined(place, key) for key in missing)} missing or empty")
            stage = self._checked(StageTable, table, place)
            entries = self._entries(file, stage, shared, place)
            group = [self._draft({**file, **stage}, (("", file), (place, stage)), entry) for entry in entries]
            drafts.append((str(table.get("name", "")), place, [draft for draft in group if draft.values["tasks"]]))
        tables = [self._search(file, table, number) for number, table in enumerate(file.get("searches", ()), 1)]
        searches = [(*table, self._search_drafts(file, *table)) for table in tables if table]
        written = [self._settings(table.settings) for table, _, _ in searches]
        for (_, place, _), path in zip(searches, written, strict=True):
            if written.count(path) > 1:
                self.mistakes.add(f"{place}: several searches write this file: one search can have all their methods")
        names: dict[str, set[str]] = {}
        for draft in (draft for _, _, group in (*drafts, *searches) for draft in group):
            for level in draft.sets:
                names.setdefault(level, set()).update(draft.names)
        return (
            [Stage(name, tuple(self._parts(suite, place, group, names))) for name, place, group in drafts],
            [
                SettingsSearch(place, part.request, path, table.trials, table.epochs)
                for (table, place, group), path in zip(searches, written, strict=True)
                if path
                for part in self._parts(suite, place, group, names)
            ],
        )

    def _search(
        self, file: Mapping[str, Any], values: Mapping[str, Any], number: int
    ) -> tuple[SearchTable, str] | None:
        """Return a search and its place; None if it has mistakes."""
        place = f"searches.{values.get('settings', number)}"
        checked = self._checked(SearchTable, values, place)
        table = {"tasks": file.get("tasks"), **values}
        if missing := [key for key in ("settings", "methods", "tasks", "seeds") if not table.get(key)]:
            self.mistakes.add(f"{' and '.join(joined(place, key) for key in missing)} missing or empty")
        try:
            return (SearchTable(**checked), place) if "settings" in checked else None
        except ValueError as error:
            self.mistakes.add(f"{place}.{error}")
            return None

    def _search_drafts(self, file: Mapping[str, Any], table: SearchTable, place: str) -> list[Draft]:
        """Return the runs of a search's first trials."""
        shared = {key: file[key] for key in ("tasks", "set", "budget") if key in file}
        specific = {key: value for key in ("tasks", "set", "budget") if (value := getattr(table, key))}
        labels = {label: entry.get("method") for label, entry in file.get("variations", {}).items()}
        for label in labels.keys() & {*table.methods}:
            self.mistakes.add(f"{place}.methods: {label} is a variation: a search takes its method, {labels[label]}")
        methods = [method for method in table.methods if method not in labels]
        entries = self._entries({}, {"methods": methods}, {}, place)
        levels = (("", shared), (place, specific))
        return [self._draft({**shared, **specific, "seeds": table.seeds}, levels, entry) for entry in entries]

    def _checked(self, cls: type, table: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return the valid values of a table, in the types of the fields of `cls`."""
        values: dict[str, Any] = {}
        hints = validate.hints(cls)
        for key, value in table.items():
            if get_origin(hints.get(key)) is tuple and not isinstance(value, list):  # --set takes a single one too
                hint = f": write [[{key}]]" if isinstance(value, Mapping) else f", not {value!r}"
                self.mistakes.add(f"{joined(place, key)} must be a list{hint}")
                with suppress(UsageError):  # the rest of the file is read as if it were one
                    values |= validate.check(cls, {key: value}, place)
                continue
            with self.mistakes.gathered():
                values |= validate.check(cls, {key: value}, place)
        try:
            if values.get("budget") is not None:
                parameters(str(values["budget"]), joined(place, "budget"))
        except UsageError as error:
            self.mistakes.add(str(error))
            del values["budget"]
        return values

    def _variations(self, table: Mapping[str, Any], place: str) -> dict[str, Entry]:
        """Return the variations that the file or a stage defines, by label."""
        variations: dict[str, Entry] = {}
        for label, entry in table.get("variations", {}).items():
            own_place = joined(place, f"variations.{label}")
            values = self._checked(VariationTable, entry, own_place)
            if label in registry.names("methods"):
                self.mistakes.add(f"{own_place}: {label} is the name of a method; choose another label")
            if "method" not in entry:
                self.mistakes.add(f"{own_place}.method is missing")
            variations[label] = Entry(label, values.pop("method", ""), own_place, values)
        return variations

    def _entries(
        self, file: Mapping[str, Any], stage: Mapping[str, Any], shared: Mapping[str, Entry], place: str
    ) -> list[Entry]:
        """Return the methods and variations of a stage: its own, else those of the file."""
        defined = self._variations(stage, place)
        source, table, variations = (place, stage, defined) if "methods" in stage or defined else ("", file, shared)
        entries = []
        for label in dict.fromkeys([*table.get("methods", ()), *variations]):
            entry = defined.get(label) or shared.get(label) or Entry(label, label, source, {})
            try:
                registry.load("methods", entry.method)
            except UsageError as error:
                key = joined(entry.place, "methods" if entry.label == entry.method else "method")
                hint = f"; or a variation: {did_you_mean(label, shared)}" if shared and label == entry.method else ""
                if entry.method:
                    self.mistakes.add(f"{key}: {error}{hint}")
            else:
                entries.append(entry)
        return entries

    def _draft(
        self, outer: Mapping[str, Any], levels: tuple[tuple[str, Mapping[str, Any]], ...], entry: Entry
    ) -> Draft:
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
        return Draft(entry, values, (*levels, (entry.place, entry.values)), frozenset(names))

    def _parts(self, suite: str, place: str, drafts: Sequence[Draft], names: Mapping[str, set[str]]) -> Iterator[Part]:
        """Yield the requests for the runs of a stage; runs that differ in the method only are requested together."""
        groups: list[list[Draft]] = []
        for draft in drafts:
            for group in groups:
                methods = {member.entry.method for member in group}
                if draft.conditions == group[0].conditions and draft.entry.method not in methods:
                    group.append(draft)
                    break
            else:
                groups.append([draft])
        for group in groups:
            values, name = group[0].values, group[0].values.get("settings")
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
                    self._tuned(name),
                    places,
                    values["worlds"],
                ),
                self._settings(name),
            )

    def _changes(
        self, draft: Draft, requested: Collection[str], names: Mapping[str, Collection[str]]
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
                        places[f"{owner}.{key}"] = joined(level, f"set.{owner}.{key}")
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
            path = self._settings(name)
            if not path or path.exists():
                with self.mistakes.gathered():
                    self._read[name] = read_tuned(path or tuned_path(name))
        return None if name is None else self._read[name]

    def _settings(self, name: str | None) -> Path | None:
        """Return the file of tuned settings of that name; None for settings of the package."""
        return Path(os.path.normpath(self._folder / name)) if name and name.endswith(".toml") else None

    def _path(self, value: Any) -> Any:
        """Return a path that exists in the file's folder as seen from the working folder; any other value unchanged."""
        path = self._folder / value if isinstance(value, str) else None
        return os.path.normpath(path) if path and path.exists() else value


def _has(table: Mapping[str, Any], key: str) -> bool:
    """Return whether a table has a key that is not empty; variations count as methods."""
    return bool(table.get(key) or (key == "methods" and table.get("variations")))
