"""The scripts beside published results, imported from the checkout; those of several folders have the same names."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import mocks
import pytest

from bench.config.experiment import read_experiment
from bench.config.spec import Spec
from bench.config.tuned_settings import Tuning, write_tuned
from bench.report.finding.measured import Measured, Planned, planned

ROOT = Path(__file__).parents[2]


@contextmanager
def scripts(folder: str, names: Iterable[str]) -> Iterator[list[ModuleType]]:
    """Import scripts of a folder of results for a block, in the working folder where they are started.

    Parameters are counted once for all budgets.
    """
    stems = [path.stem for path in (ROOT / "results" / folder).glob("*.py")]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "results" / folder))
        patch.chdir(ROOT)
        mocks.count_once(patch)
        for stem in stems:
            sys.modules.pop(stem, None)
        try:
            yield [importlib.import_module(name) for name in names]
        finally:
            for stem in stems:
                sys.modules.pop(stem, None)


@cache
def plan(folder: str) -> Planned:
    """Return the runs of the experiment in a folder of results; the working folder is the checkout."""
    return planned(Path("results", folder, "experiment.toml"))


def tuned_plan(folder: str, place: Path) -> Planned:
    """Return the runs of an experiment whose files of tuned rates are made up, from a copy of it in another place."""
    return planned(make_up_rates(folder, place))


def make_up_rates(folder: str, place: Path) -> Path:
    """Copy an experiment to another place, with made-up files of tuned rates, and return the copy.

    Args:
        folder: The folder of results.
        place: Where to copy the experiment.
    """
    experiment = place / "experiment.toml"
    shutil.copy(ROOT / "results" / folder / experiment.name, experiment)
    for search in read_experiment(experiment).searches:
        tuning = Tuning(
            suite=search.request.suite,
            trials=search.trials,
            epochs="suite",
            seeds=tuple(map(int, search.request.seeds)),
            set=tuple(search.request.overrides),
            budget=search.request.budget or "none",
            date="",
            version="",
        )
        rates = {
            (task, method): {"lr_head" if method == "head" else "lr_adapter": 0.00123}
            for task in search.request.tasks
            for method in search.request.methods
        }
        write_tuned(search.out, tuning, rates, dict.fromkeys(rates, "made up"))
    return experiment


def check_searches(folder: str, stages: Iterable[str]) -> None:
    """Check that each run of these stages has the rate of a search at its size, with its changes, on other seeds."""
    experiment = read_experiment(ROOT / "results" / folder / "experiment.toml")
    assert experiment.problems == ()
    used = {
        (part.settings, method, task, part.request.budget, tuple(part.request.overrides))
        for stage in experiment.selected([*stages])
        for part in stage.parts
        for method in part.request.methods
        for task in part.request.tasks
    }
    searched = {
        (search.out, method, task, search.request.budget, tuple(search.request.overrides))
        for search in experiment.searches
        for method in search.request.methods
        for task in search.request.tasks
    }
    assert used == searched
    compared = {int(seed) for stage in experiment.stages for part in stage.parts for seed in part.request.seeds}
    tuned = {int(seed) for search in experiment.searches for seed in search.request.seeds}
    assert tuned and not tuned & compared, "tuned on other seeds than are compared"
    assert len({search.trials for search in experiment.searches}) == 1, "equal trials"


def specs(
    runs: Planned, stage: str, labels: Iterable[str] | None = None, tasks: Iterable[str] | None = None
) -> list[Spec]:
    """Return the specifications of a stage; of these labels and tasks only."""
    return [
        spec
        for (task, label), by_seed in runs[stage].items()
        if (labels is None or label in labels) and (tasks is None or task in tasks)
        for spec in by_seed.values()
    ]


def measured(runs: Planned, scores: Iterable[tuple[Spec, float]]) -> Measured:
    """Return made-up records, each a run with its score."""
    return Measured([mocks.record(spec, score) for spec, score in scores], runs)
