"""The plan: the runs that a command requests, each with its specification."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.config import inherited_settings, validate
from bench.config.recipe import PER_METHOD, Recipe
from bench.config.spec import Spec
from bench.config.suite import Data, StreamSource, Suite, load_suite, parse_value, split_method
from bench.errors import Mistakes, UsageError, did_you_mean, shortened
from bench.methods.targets import DEFAULT

if TYPE_CHECKING:
    from bench.config.tuned_settings import Tuned

_MAX_SEED = 2**32 - 1  # NumPy's limit
_MAX_RANGE = 1000  # seeds: a longer range is a slip
_MAX_KEY_LENGTH = 200  # characters of a key of --set

_Changes = dict[tuple[str, type], dict[str, Any]]  # by owner ("cola", "train", ...) and the class of the fields


class _TablePart(dict[str, Any]):
    """Values for some keys of a table, as in lora.r.vision=8, which leave its other keys as they are."""


@dataclass(frozen=True)
class RunRequest:
    """The runs that a command requests.

    Attributes:
        suite: Name of a built-in suite, or path of a suite file.
        methods: Names of methods.
        tasks: Names of tasks.
        seeds: Integers, or their text; a text may be a range, as in "0-4".
        overrides: `key=value`, with a key `<method>.<setting>`, `<method>.lr_adapter`, `<task>.<setting>`,
            `<task>.<recipe field>`, `train.<recipe field>`, `<stream>.<key>` or `data.<key>`; the value as in TOML. A
            setting that is a table also takes its keys, as in `lora.r.vision=8`: a number in its place until then
            becomes the table's `default`.
        budget: Number of trainable adapter parameters that each method's size is fitted to: a percentage of the
            streams' parameters (`2%`), a number (`400k`, `1.5M`, `400000`), or the name of a method, for as many as it
            has. None to leave the sizes unchanged.
        tuned: Tuned settings of methods on tasks. They override the suite's, and `overrides` override them.
        places: The keys of an experiment file that values come from, by the key of the override, or `budget` or
            `worlds`; messages name them in place of options.
        worlds: Values of `data.seed` of generated or composed data, as for `seeds`: each is another world with its own
            samples. Empty for the suite's.
    """

    suite: str
    methods: Sequence[str]
    tasks: Sequence[str]
    seeds: Sequence[str | int] = (0,)
    overrides: Sequence[str] = ()
    budget: str | None = None
    tuned: Tuned | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    worlds: Sequence[str | int] = ()


def make_plan(request: RunRequest) -> list[Spec]:
    """Return the runs of all tasks, worlds, seeds and methods, nested in that order: runs of a world share its data.

    The budget of the request is not applied here, but by `bench.config.budget.plan_within`.

    Raises:
        UsageError: The request is wrong; the message lists all mistakes.
    """
    mistakes = Mistakes()
    loaded: Suite | None = None
    with mistakes.gathered():
        loaded = load_suite(request.suite)
        if request.tuned:
            request.tuned.check_suite(loaded.name)
    method_classes = _load_all("methods", request.methods, mistakes)
    task_classes = _load_all("tasks", request.tasks, mistakes)
    seed_numbers = _seeds(request.seeds, mistakes)
    worlds = _seeds(request.worlds, mistakes, "world")
    owners: dict[str, dict[str, type]] = {"train": _keys(Recipe), "data": _keys(Data)}
    if loaded:
        owners |= {stream: _keys(StreamSource) for stream in _streams(loaded, request.tasks)}
    owners |= {name: dict.fromkeys(PER_METHOD, Recipe) | _keys(cls) for name, cls in method_classes.items()}
    owners |= {name: _keys(Recipe) | _keys(cls) for name, cls in task_classes.items()}
    changes = _changes(request, owners, mistakes, loaded)
    plan: list[Spec] = []
    for task in task_classes if loaded else ():
        with mistakes.gathered():
            plan += _task_runs(
                loaded, task, task_classes[task], method_classes, seed_numbers, worlds, changes=changes, request=request
            )
            for name, cls in method_classes.items():
                inherited_settings.warn(loaded, name, cls, task)
    mistakes.raise_if_any()
    return plan


def unchanged(suite: Suite, task: str, method: str) -> Spec:
    """Return the run of a method on a task as a suite has it, with seed 0: without a change by anybody.

    Raises:
        UsageError: The task or the method is unknown, or the suite's settings for them are wrong.
    """
    classes = {method: registry.load("methods", method)}
    request = RunRequest(suite.name, [method], [task])
    task_class = registry.load("tasks", task)
    (spec,) = _task_runs(suite, task, task_class, classes, [0], (), changes={}, request=request)
    return spec


def with_values(spec: Spec, values: Mapping[str, Any]) -> Spec:
    """Return the run with some values changed: settings of the method, or fields of the recipe in `PER_METHOD`.

    Raises:
        UsageError: The method or the recipe does not accept the values.
    """
    method = registry.load("methods", spec.method)
    method_values, recipe_values = split_method(method, values)
    return replace(
        spec,
        settings=_plain(method, {**spec.settings, **method_values}, spec.method),
        recipe=_plain(Recipe, {**spec.recipe, **recipe_values}, spec.task),
    )


def _plain(cls: type, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the fields of `cls` with these values as JSON types; only those of `to_config()`, if there is one."""
    built: Any = validate.build(cls, values, prefix)
    return json.loads(json.dumps(built.to_config() if hasattr(built, "to_config") else asdict(built)))


def _keys(cls: type) -> dict[str, type]:
    return dict.fromkeys(validate.hints(cls), cls)


def _check_streams(method: Any, name: str, streams: Sequence[str], task: type[Any], task_name: str) -> None:
    """Check a method against the streams of a task.

    Raises:
        UsageError: It cannot adapt them.
    """
    if getattr(method, "reads_partners", False):
        if len(streams) < 2:
            raise UsageError(
                f"{name}: its streams read each other, but {task_name} has only one here, {streams[0]}: use a method "
                "that adapts each stream alone, such as lora"
            )
        if getattr(task, "separate_streams", False):
            raise UsageError(
                f"{name}: its streams read each other, but {task_name} encodes each stream alone, since a stream that "
                "has read its partner knows the answer: use a method that adapts each stream alone, such as lora"
            )
    try:
        method.check_streams(streams)
    except ValueError as error:
        raise UsageError(f"{name} on {task_name}: {error}") from error


def _check_task(task: Any, name: str, streams: Sequence[str], data: Mapping[str, Any]) -> None:
    """Check a task against the streams and the data of a suite.

    Raises:
        UsageError: It cannot use them.
    """
    sources: tuple[str, ...] = getattr(task, "sources", (data.get("source", ""),))  # a task need not derive from `Task`
    # What is composed is in the layouts of what is generated; whether the task has any, `preflight` tells.
    if data and ("generated" if data["source"] == "composed" else data["source"]) not in sources:
        raise UsageError(f"{name} reads data.source={' or '.join(sources)} only, not {data['source']}")
    try:
        if hasattr(task, "check_streams"):
            task.check_streams(streams)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


def _load_all(kind: registry.Kind, names: Sequence[str], mistakes: Mistakes) -> dict[str, type]:
    """Return the classes of those names that exist, each once."""
    if not names:
        mistakes.add(f"no {kind} given: choose from {', '.join(registry.names(kind)) or 'none'} with --{kind}")
    classes = {}
    for name in names:
        with mistakes.gathered():
            classes[name] = registry.load(kind, name)
    return classes


def _seeds(seeds: Sequence[str | int], mistakes: Mistakes, noun: str = "seed") -> list[int]:
    """Return the valid seeds, or worlds, each once; a text may be a range with both ends, as in "0-4"."""
    numbers: dict[int, None] = {}
    for seed in seeds:
        ends = re.fullmatch("([0-9]{1,10})(?:-([0-9]{1,10}))?", str(seed))
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if first <= last <= _MAX_SEED and last - first < _MAX_RANGE:
            numbers |= dict.fromkeys(range(first, last + 1))
        else:
            mistakes.add(
                f"a {noun} must be a whole number from 0 to {_MAX_SEED}, not {shortened(seed)}; several are written as "
                f"0,1,2 or 0 1 2, or as a range of up to {_MAX_RANGE:,}, as in 0-2"
            )
    return list(numbers)


def _check_worlds(
    worlds: Sequence[int], data: Mapping[str, Any], changes: Mapping[str, Any], places: Mapping[str, str]
) -> None:
    """Check that data has worlds to vary, if any are requested.

    Args:
        worlds: The requested worlds.
        data: The data of a specification; empty if it has mistakes.
        changes: Its values that `--set` changes.
        places: Those of `RunRequest`.

    Raises:
        UsageError: It is not generated or composed, or `--set` chooses one of its worlds too.
    """
    option = places.get("worlds", "--worlds")
    if worlds and data and "seed" not in data:
        raise UsageError(
            f"{option}: worlds are seeds of generated or composed data, but data.source is {data['source']}: leave "
            "it out"
        )
    if worlds and "seed" in changes:
        place = places.get("data.seed", f"--set data.seed={changes['seed']}")
        raise UsageError(f"{place}: {option} chooses the values of data.seed; give only one of them")


def _fed(named: Sequence[str], streams: Sequence[str]) -> dict[str, list[str]]:
    """Return the key of the data that says which of a task's streams are fed; nothing if all are."""
    fed = [name for name in streams if name in named]
    return {} if len(fed) == len(streams) else {"streams": fed}


def _streams(suite: Suite, tasks: Sequence[str]) -> dict[str, None]:
    """Return the names of the tasks' streams; those of all tasks of the suite if one of these is unknown to it."""
    try:
        entries = [suite.task(task) for task in tasks]
    except UsageError:
        entries = []
    return dict.fromkeys(stream for entry in entries or suite.tasks.values() for stream in entry.sources)


def _changes(
    request: RunRequest, owners: Mapping[str, Mapping[str, type]], mistakes: Mistakes, suite: Suite | None
) -> _Changes:
    """Return the values that the overrides set.

    Args:
        request: The runs.
        owners: For each owner, the part of a key before the dot: the names allowed after the dot, with the class that
            has the field.
        mistakes: Collects the mistakes.
        suite: The suite; None if it has mistakes, so that the owners lack its streams.
    """
    changes: _Changes = {}
    scope = "these runs" if request.places else "this command"
    for override in request.overrides:
        key, equals, text = override.partition("=")
        owner, dot, name, table_keys = _split_key(key.strip(), owners)
        place = request.places.get(key, f"--set {shortened(override)}")
        if len(key) > _MAX_KEY_LENGTH:
            mistakes.add(f"--set {key[:_MAX_KEY_LENGTH]}...: a key has at most {_MAX_KEY_LENGTH} characters")
            continue
        if not (equals and dot):
            mistakes.add(
                f"--set {override}: write <owner>.<key>=<value>, where the owner is a method, a task, a stream, train "
                "or data"
            )
        elif owner in owners:
            fields = owners[owner]
            if name not in fields:
                mistakes.add(f"{place}: unknown key {key}: {did_you_mean(name, fields)}")
                continue
            value = parse_value(text.strip())
            for table_key in reversed(table_keys):
                value = {table_key: value}
            try:
                value = validate.check(fields[name], {name: value}, prefix=owner)[name]
                values = changes.setdefault((owner, fields[name]), {})
                values[name] = _changed(values.get(name), _TablePart(value) if table_keys else value)
            except UsageError as error:
                for problem in error.problems:
                    mistakes.add(f"{place}: {problem}")
        elif owner in (*registry.names("methods"), *registry.names("tasks")):
            mistakes.add(f"{place}: {owner} is not part of {scope}")
        elif suite and owner in _streams(suite, ()):
            known = ", ".join(_streams(suite, request.tasks))
            mistakes.add(f"{place}: no task of {scope} has a stream {owner}; their streams: {known}")
        elif suite and owner not in (*request.methods, *request.tasks):  # unknown ones of these are reported already
            mistakes.add(f"{place}: unknown {owner}: {did_you_mean(owner, owners)}")
    return changes


def _split_key(key: str, owners: Collection[str]) -> tuple[str, str, str, list[str]]:
    """Return the owner in a key, the dot, the name of its field, and further keys if that is a table."""
    parts = key.split(".")
    for count in range(len(parts) - 1, 0, -1):  # a name of an owner may contain dots
        if (owner := ".".join(parts[:count])) in owners:
            return owner, ".", parts[count], parts[count + 1 :]
    owner, dot, name = key.partition(".")
    return owner, dot, name, []


def _changed(old: Any, value: Any) -> Any:
    """Return a setting's value after a change, which may concern some keys of a table only."""
    if not isinstance(value, _TablePart):
        return value
    if old is None:
        return value
    table: Any = old if isinstance(old, Mapping) else {DEFAULT: old}
    parts = {key: _changed(table.get(key), _TablePart(v) if isinstance(v, Mapping) else v) for key, v in value.items()}
    return type(table)({**table, **parts})


def _task_runs(
    suite: Suite,
    task: str,
    task_class: type,
    methods: Mapping[str, type],
    seeds: Sequence[int],
    worlds: Sequence[int],
    *,
    changes: _Changes,
    request: RunRequest,
) -> list[Spec]:
    """Return the runs of one task. More specific values override general ones, and the command line overrides all.

    Raises:
        UsageError: Values of this task are wrong; the message lists all mistakes.
    """
    entry = suite.task(task)
    mistakes = Mistakes()

    def plain(prefix: str, cls: type, *layers: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of `cls` as JSON types, with values of later layers overriding earlier ones."""
        merged: dict[str, Any] = {}
        for layer in layers:
            merged |= {name: _changed(merged.get(name, getattr(cls, name, None)), item) for name, item in layer.items()}
        with mistakes.gathered():
            return _plain(cls, merged, prefix)
        return {}

    def changed(owner: str, cls: type) -> dict[str, Any]:
        return changes.get((owner, cls), {})

    data = plain("data", Data, asdict(suite.data), changed("data", Data))
    for name in data.get("streams", ()):
        if name not in entry.sources:
            place = request.places.get("data.streams", "--streams, or data.streams")
            mistakes.add(f"{place}: {task} has no stream {name}: {did_you_mean(name, entry.sources)}")
    if named := data.pop("streams", ()):
        data |= _fed(named, list(entry.sources))
    with mistakes.gathered():
        _check_worlds(worlds, data, changed("data", Data), request.places)
    task_settings = plain(task, task_class, entry.settings, changed(task, task_class))
    with mistakes.gathered():
        _check_task(validate.build(task_class, task_settings, task), task, list(entry.sources), data)
    method_settings, recipes = {}, {}
    for name, cls in methods.items():
        tuned_values = request.tuned.settings_of(task, name) if request.tuned else {}
        method_values, recipe_values = split_method(
            cls, {**inherited_settings.method_settings(suite, name, cls, task), **tuned_values}
        )
        method_settings[name] = plain(name, cls, method_values, changed(name, cls))
        with mistakes.gathered():
            method: Any = validate.build(cls, method_settings[name], name)
            _check_streams(method, name, list(entry.sources), task_class, task)
        overrides = changed("train", Recipe), changed(task, Recipe), changed(name, Recipe)
        recipes[name] = plain(task, Recipe, asdict(suite.train), entry.train, recipe_values, *overrides)
    streams = {
        stream: plain(stream, StreamSource, asdict(suite.streams[source]), changed(stream, StreamSource))
        for stream, source in entry.sources.items()
    }
    mistakes.raise_if_any()
    return [
        Spec(
            suite=suite.name,
            task=task,
            method=method,
            seed=seed,
            settings=method_settings[method],
            task_settings=task_settings,
            recipe=recipes[method],
            streams=streams,
            data=world_data,
            deviations=list(entry.deviations),
        )
        for world_data in ([{**data, "seed": world} for world in worlds] or [data])
        for seed in seeds
        for method in methods
    ]
