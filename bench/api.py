"""The Python API: `bench run` and its records, for scripts and notebooks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.config.describe import setting
from bench.config.experiment import read_experiment
from bench.config.plan import RunRequest
from bench.config.run_options import RunOptions
from bench.config.shipped import tuned_path
from bench.config.tuned_settings import read_tuned
from bench.config.validate import build
from bench.errors import UsageError
from bench.execution.executor import LOCAL, Executor, make_executor
from bench.execution.finished_runs import look_up
from bench.execution.local_executor import LocalExecutor
from bench.execution.planning import RunPlan, plan_experiment, plan_request
from bench.execution.sweep import sweep
from bench.methods.base import Method
from bench.records import store
from bench.records.schema import Record
from bench.system import child_processes
from bench.tasks.base import Task
from bench.text import escape


def run(
    methods: str | Iterable[str | type[Method]],
    tasks: str | Iterable[str | type[Task]],
    *,
    seeds: int | Iterable[int] = 0,
    worlds: int | Iterable[int] = (),
    suite: str | Path = "mini",
    settings: Mapping[str, Any] | None = None,
    budget: str | None = None,
    settings_file: str | Path | None = None,
    results: str | Path = "results",
    data_root: str | Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    executor: str | Executor = LOCAL,
    save_adapters: bool = False,
    rerun: bool = False,
) -> list[Record]:
    """Train and score methods on tasks, as `bench run` does, and write a record of each run.

    Args:
        methods: Names, or classes of your own methods, which are named after the class in lower case.
        tasks: Names, or classes of your own tasks, named likewise; the suite must have a table for that name.
        seeds: One or several.
        worlds: Seeds of generated or composed data, each a world with samples of its own; none for the suite's.
        suite: The name of a suite, or the path of a .toml file.
        settings: Changed settings, for example `{"cola.r": 8, "ave.epochs": 2, "train.batch_size": 16}`.
        budget: `2%`, `400k`, or the name of a method: each method's rank is set so that it trains that many adapter
            parameters.
        settings_file: Tuned settings: a .toml file that `bench tune` wrote, or the name of one in this package, for
            example "mini". They override the suite's settings, and `settings` overrides them.
        results: The results folder.
        data_root: Folder of the official releases, of media, or of generated data; None for the user's cache folder.
        device: "auto", "cpu" or "cuda".
        jobs: Number of runs at a time on this machine, each in its own process with an equal share of the CPU threads.
            With more than one, methods and tasks must be names.
        executor: Name of the executor that does the runs, as for `bench run --executor`, or an executor with its
            options, such as `bench.execution.ray_executor.RayExecutor(gpus=0.5)`. With any but "local", methods and
            tasks must be names.
        save_adapters: Save adapters and heads in `results/adapters`.
        rerun: Repeat runs that already have a record.

    Returns:
        The record of every run, finished now or earlier, in the order of the plan: tasks, worlds, seeds, methods.

    Warns:
        RuntimeWarning: A run failed, now or earlier: one warning for each, with the reason, where it was raised if that
            is known, and the file of the record, which contains the traceback.

    Raises:
        UsageError: Every mistake in the arguments.
        DataError: The data is missing or broken.
        BenchError: The results folder cannot be written.
    """
    executor = _executor(executor, jobs, device)
    methods, tasks = list(_several(methods)), list(_several(tasks))
    classes = [cls.__name__ for cls in (*methods, *tasks) if isinstance(cls, type)]
    if classes and executor != LocalExecutor():
        raise UsageError(
            f"other processes do not know the class {classes[0]}: use jobs=1, or register it by an entry point"
        )
    method_names = [_name("methods", Method, method) for method in methods]
    task_names = [_name("tasks", Task, task) for task in tasks]
    sets = [f"{key}={_toml(value)}" for key, value in (settings or {}).items()]
    root = Path(data_root) if data_root else None
    tuned = read_tuned(tuned_path(settings_file)) if settings_file else None
    request = RunRequest(
        *(str(suite), method_names, task_names, list(_several(seeds)), sets, budget, tuned),
        worlds=list(_several(worlds)),
    )
    plan = plan_request(request, root)
    return _records_of(plan, RunOptions(root, device, Path(results), save_adapters, plan.tuned), executor, rerun)


def run_experiment(
    path: str | Path,
    *,
    stages: str | Iterable[str] = (),
    results: str | Path = "results",
    data_root: str | Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    executor: str | Executor = LOCAL,
    save_adapters: bool = False,
    rerun: bool = False,
) -> list[Record]:
    """Do the runs of an experiment file, as `bench run FILE.toml` does, and write a record of each run.

    Args:
        path: The experiment file.
        stages: Names of the stages to do; all of them by default.
        results: The results folder.
        data_root: As for `run`, like all further arguments.
        device: "auto", "cpu" or "cuda".
        jobs: Number of runs at a time on this machine.
        executor: Name of the executor that does the runs, or an executor.
        save_adapters: Save adapters and heads in `results/adapters`.
        rerun: Repeat runs that already have a record.

    Returns:
        The record of every run, finished now or earlier, in the order of the plan: stages, tasks, worlds, seeds,
        methods.

    Warns:
        RuntimeWarning: A run failed, as for `run`.

    Raises:
        UsageError: Every mistake in the file and the arguments.
        DataError: The data is missing or broken.
        BenchError: The results folder cannot be written.
    """
    executor = _executor(executor, jobs, device)
    root = Path(data_root) if data_root else None
    plan = plan_experiment(read_experiment(Path(path)), list(_several(stages)), root)
    return _records_of(plan, RunOptions(root, device, Path(results), save_adapters, plan.tuned), executor, rerun)


def _executor(executor: str | Executor, jobs: int, device: str) -> Executor:
    """Return the executor that the arguments of `run` request, after a check of all of them."""
    child_processes.refuse_unguarded()
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, not {device}")
    if jobs != 1 and executor != LOCAL:
        raise UsageError(f"jobs={jobs}: only with executor={LOCAL!r}")
    return make_executor(executor, **({"jobs": jobs} if executor == LOCAL else {}))


def _records_of(plan: RunPlan, options: RunOptions, executor: Executor, rerun: bool) -> list[Record]:
    """Do the runs of a plan that have no record yet, warn about failed ones, and return all records."""
    assert options.results
    folder = options.results
    store.check_writable(folder)
    existing = look_up(plan.specs, folder, options.data_root, rerun=rerun, with_adapters=options.save_adapters)
    records = existing.finished
    todo = [spec for spec in plan.specs if spec.id not in records]
    for record in sweep(todo, folder, options, executor, superseded=existing.superseded):
        records[record.id] = record
    planned = [records[spec.id] for spec in plan.specs]
    for record in planned:
        if record.outcome == "failed":
            file = folder / store.FOLDER / f"{record.file.stem}.json"
            reason = f"{record.failure}{_place(record.traceback or '')}"
            message = f"{record.label} failed: {reason}; see {file}, and repeat the run with rerun=True"
            warnings.warn(escape.line(message), RuntimeWarning, stacklevel=3)  # at the line that called `run`
    return planned


def _place(traceback: str) -> str:
    """Return where the error of a traceback was raised, as in ", raised at train.py:12"; "" if there is none."""
    frames = re.findall(r'^[ |]*File "(.+)", line (\d+)', traceback, re.MULTILINE)
    return f", raised at {frames[-1][0]}:{frames[-1][1]}" if frames else ""


def make_method(name: str, **settings: Any) -> Method:
    """Return a method for your own training loop: `attach` it to a `MultiStream`.

    Args:
        name: The method's name; see `bench list methods`.
        settings: Settings that differ from the defaults.

    Raises:
        UsageError: There is no such method, or settings are wrong; the message lists all of them.
    """
    return build(registry.load("methods", name), settings, name)


def load_records(results: str | Path = "results") -> list[Record]:
    """Return the records of a results folder, oldest first: one for each run, as on the leaderboard.

    Files that are not records are left out with a warning.

    Raises:
        UsageError: There is no such folder.
        BenchError: The folder contains no records.
    """
    return store.read_existing(Path(results))


def _several(values: Any) -> Iterable[Any]:
    return [values] if isinstance(values, str | type) or not isinstance(values, Iterable) else values


def _name(kind: registry.Kind, base: type, value: str | type) -> str:
    """Return the name of a method or task; a class is registered under its own."""
    if isinstance(value, str):
        return value
    if not (isinstance(value, type) and issubclass(value, base) and is_dataclass(value)):
        singular = kind[:-1]
        if isinstance(value, base):
            cls = type(value).__name__
            raise UsageError(
                f"{value!r} is an instance: pass the class {cls}, and its settings as settings={{"
                f'"{cls.lower()}.<setting>": <value>}}'
            )
        raise UsageError(
            f"{value!r} is not a {singular}: pass a name, or a dataclass that derives from bench.{base.__name__}"
        )
    name = value.__name__.lower()
    registry.add(kind, name, value)
    return name


def _toml(value: Any) -> str:
    """Return a value as --set takes it."""
    return setting(value.item() if hasattr(value, "item") else value)  # numbers of numpy and torch
