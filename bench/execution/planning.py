"""Plan the runs of a command or an experiment file, and check that their data and encoders are available."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.equal_settings import equal_runs
from bench.config.plan import RunRequest, make_plan
from bench.config.preflight import (
    check_composed,
    check_encoders,
    check_generated,
    check_methods,
    check_official,
    check_own,
)
from bench.config.spec import Spec
from bench.config.tuned_settings import absent
from bench.errors import Mistakes, UsageError

if TYPE_CHECKING:
    from bench.config.budget import BudgetFit
    from bench.config.experiment import Experiment, Part, Stage
    from bench.config.tuned_settings import Tuned

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """A run with its place in the plan.

    Attributes:
        spec: The specification.
        label: The label of its variation in an experiment file; otherwise the method's name.
        stage: The name of its stage in an experiment file; otherwise empty.
        tuned: The file of tuned settings that it was planned with.
        world: The seed of its data, if worlds were requested.
    """

    spec: Spec
    label: str
    stage: str = ""
    tuned: Tuned | None = None
    world: int | None = None

    @property
    def name(self) -> str:
        """What the run's other seeds and worlds are called too, as in "ablations: ave one-way", or "ave lora"."""
        return f"{self.stage}: " * bool(self.stage) + f"{self.spec.task} {self.label}"

    @property
    def title(self) -> str:
        """The run in a few words, as in "ablations: ave one-way seed 0", or "ave lora world 1 seed 0"."""
        world = "" if self.world is None else f" world {self.world}"
        return f"{self.name}{world} seed {self.spec.seed}"


@dataclass(frozen=True)
class RunPlan:
    """The runs of a command.

    Attributes:
        runs: The runs in order, each once.
        fits: What the budgets came to.
        repeated: Further requests for these runs, by a later stage or under another label.
    """

    runs: tuple[PlannedRun, ...]
    fits: tuple[BudgetFit, ...] = ()
    repeated: tuple[PlannedRun, ...] = ()

    @property
    def specs(self) -> list[Spec]:
        """The specifications of the runs."""
        return [run.spec for run in self.runs]

    @property
    def tuned(self) -> dict[str, Tuned]:
        """The files of tuned settings, by the ids of the runs that were planned with them."""
        return {run.spec.id: run.tuned for run in self.runs if run.tuned}


def plan_runs(
    request: RunRequest, data_root: Path | None = None, *, ready: bool = True
) -> tuple[list[Spec], list[BudgetFit]]:
    """Return the requested runs, and what the budget came to for each method and task.

    It warns about methods that the tuned settings do not contain, about settings tuned at a different budget, and about
    runs that compute what others compute.

    Args:
        request: The runs.
        data_root: Folder of the official releases, of the user's own data, of media, or of the generated data's cache.
        ready: Whether the runs are to be done. If not, their data and encoders need not be there, and nothing is
            warned of.

    Raises:
        UsageError: All mistakes in the request, and the data and encoders that are missing.
    """
    mistakes = Mistakes()
    plan: list[Spec] = []
    fits: list[BudgetFit] = []
    with mistakes.gathered():
        plan, fits = _specify(request)
    if ready:
        with mistakes.gathered():
            _check_available(plan or _unsized(request), data_root)
    mistakes.raise_if_any()
    if ready:
        _warn([(request, plan)])
    return plan, fits


def plan_request(request: RunRequest, data_root: Path | None = None, *, ready: bool = True) -> RunPlan:
    """Return the same as `plan_runs`, as a plan."""
    specs, fits = plan_runs(request, data_root, ready=ready)
    return RunPlan(tuple(_planned(request, spec, spec.method) for spec in specs), tuple(fits))


def plan_experiment(
    experiment: Experiment, stages: Sequence[str] = (), data_root: Path | None = None, *, ready: bool = True
) -> RunPlan:
    """Return the runs of an experiment file: stage by stage, and in a stage by task, world, seed and method.

    A run that is requested several times belongs to the first stage and label that request it. Warnings are those of
    `plan_runs`.

    Args:
        experiment: The file.
        stages: Names of the stages to plan; empty for all.
        data_root: Folder of the official releases, of media to compose data from, or of the generated data's cache.
        ready: As for `plan_runs`.

    Raises:
        UsageError: All mistakes in the file, and the data and encoders that are missing.
    """
    mistakes = Mistakes()
    selected: tuple[Stage, ...] = ()
    with mistakes.gathered():
        selected = experiment.selected(stages)
    untuned = [_absent(experiment, part.untuned) for stage in selected for part in stage.parts if part.untuned]
    for problem in dict.fromkeys((*experiment.problems, *untuned)):
        mistakes.add(f"{experiment.path}: {problem}")
    planned: dict[str, list[tuple[Part, list[Spec]]]] = {stage.name: [] for stage in selected}
    fits: dict[str, BudgetFit] = {}
    unsized: list[Spec] = []
    reported: set[str] = set()
    for stage in experiment.stages:
        for part in stage.parts:
            try:
                specs, part_fits = _specify(part.request)
            except UsageError as error:
                new = [
                    problem for problem in error.problems if problem not in reported
                ]  # from the top of the file: once
                reported.update(new)
                for problem in new:
                    mistakes.add(": ".join(filter(None, (str(experiment.path), _place(part, problem), problem))))
                unsized += _unsized(part.request) if stage.name in planned else []
            else:
                if stage.name in planned:
                    planned[stage.name].append((part, specs))
                    fits |= {fit.summary: fit for fit in part_fits}
    requested = [(part.request, specs) for parts in planned.values() for part, specs in parts]
    if ready:
        available = Mistakes()
        with available.gathered():
            _check_available([*(spec for _, specs in requested for spec in specs), *unsized], data_root)
        for problem in available.problems:
            if problem not in reported:
                mistakes.add(problem)
    mistakes.raise_if_any()
    if ready:
        _warn(requested)
    runs: dict[str, PlannedRun] = {}
    ordered = [run for stage in selected for run in _in_order(stage, planned[stage.name])]
    for run in ordered:
        runs.setdefault(run.spec.id, run)
    repeated = tuple(run for run in ordered if run is not runs[run.spec.id])
    return RunPlan(tuple(runs.values()), tuple(fits.values()), repeated)


def _absent(experiment: Experiment, settings: Path) -> str:
    """Return what is said of a file of tuned settings that does not exist."""
    if all(search.out != settings for search in experiment.searches):
        return absent(settings)
    command = f"`bench tune {experiment.path}`, with the same --results, writes it"
    return f"the settings file {settings} does not exist: {command}"


def _place(part: Part, problem: str) -> str:
    """Return the keys of the part that has a mistake; "" if the message begins with the key itself."""
    named = tuple(f"{place}{end}" for place in part.request.places.values() for end in (":", " "))
    return "" if problem.startswith(named) else part.place


def _in_order(stage: Stage, parts: Iterable[tuple[Part, Sequence[Spec]]]) -> list[PlannedRun]:
    """Return the runs of a stage by task, world, seed and label, each in the order of the file."""
    runs = [
        _planned(part.request, spec, part.labels[spec.method], stage.name) for part, specs in parts for spec in specs
    ]
    tasks, worlds, seeds, labels = (
        [*dict.fromkeys(values)]
        for values in (
            (task for part in stage.parts for task in part.request.tasks),
            (run.world for run in runs),
            (int(seed) for part in stage.parts for seed in part.request.seeds),
            (label for part in stage.parts for label in part.labels.values()),
        )
    )

    def position(run: PlannedRun) -> tuple[int, ...]:
        spec = run.spec
        return tasks.index(spec.task), worlds.index(run.world), seeds.index(spec.seed), labels.index(run.label)

    return sorted(runs, key=position)


def _planned(request: RunRequest, spec: Spec, label: str, stage: str = "") -> PlannedRun:
    return PlannedRun(spec, label, stage, request.tuned, spec.data["seed"] if request.worlds else None)


def _specify(request: RunRequest) -> tuple[list[Spec], list[BudgetFit]]:
    """Return the requested runs, and what the budget came to for each method and task."""
    if not request.budget:
        return make_plan(request), []
    from bench.config.budget import plan_within  # imports torch

    return plan_within(request)


def _unsized(request: RunRequest) -> list[Spec]:
    """Return the runs of a request whose budget cannot be fitted, without it; none if more than the budget is wrong.

    Data and encoders that are missing are then told beside that.
    """
    with suppress(UsageError):
        return make_plan(request) if request.budget else []
    return []


def _check_available(plan: Sequence[Spec], data_root: Path | None) -> None:
    """Check that the data and encoders of runs are present, and that their settings can be recorded."""
    if not plan:
        return
    from bench.records.checks import check_recordable  # not for a plan with mistakes: reading records takes msgspec

    mistakes = Mistakes()
    if official := dict.fromkeys(spec.task for spec in plan if spec.data["source"] == "official"):
        with mistakes.gathered():
            check_official(official, data_root)
    if any(spec.data["source"] == "generated" for spec in plan):
        with mistakes.gathered():
            check_generated(data_root)
    with mistakes.gathered():
        check_composed((spec for spec in plan if spec.data["source"] == "composed"), data_root)
    with mistakes.gathered():
        check_own((spec for spec in plan if spec.data["source"] == "own"), data_root)
    with mistakes.gathered():
        check_recordable(plan)
    with mistakes.gathered():
        check_encoders(plan)
        check_methods(plan)
    mistakes.raise_if_any()


def _warn(requested: Sequence[tuple[RunRequest, Sequence[Spec]]]) -> None:
    """Warn about runs that others equal, and about tuned settings; see `plan_runs`."""
    _warn_about_tuned(requested)
    for message in equal_runs(spec for _, specs in requested for spec in specs):
        _log.warning("%s", message)


def _warn_about_tuned(requested: Iterable[tuple[RunRequest, Sequence[Spec]]]) -> None:
    """Warn about settings tuned at another budget, and about methods that a file of tuned settings does not contain."""
    missing: dict[str, dict[tuple[str, str], None]] = {}
    budgets: set[tuple[str, str | None]] = set()
    for request, specs in requested:
        if (tuned := request.tuned) is None:
            continue
        if (tuned.file, request.budget) not in budgets:
            tuned.check_budget(request.budget)
            tuned.check_data(specs)
        budgets.add((tuned.file, request.budget))
        missing.setdefault(tuned.file, {}).update(dict.fromkeys(tuned.missing(specs)))
    for file, pairs in missing.items():
        if pairs:
            names = ", ".join(f"{method} on {task}" for task, method in pairs)
            _log.warning("%s has no settings for %s: run with the suite's own, beside tuned ones", file, names)
