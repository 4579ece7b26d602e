"""Plans the runs of a command, and checks that the data and encoders they need are there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.plan import make_plan
from bench.config.preflight import check_encoders, check_official
from bench.config.spec import Spec
from bench.errors import Mistakes
from bench.records.checks import check_recordable

if TYPE_CHECKING:
    from bench.config.budget import Fit
    from bench.config.tuned_settings import Tuned

_log = logging.getLogger(__name__)


def plan_runs(
    suite: str,
    methods: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[str | int],
    overrides: Sequence[str],
    budget: str | None = None,
    data_root: Path | None = None,
    tuned: Tuned | None = None,
) -> tuple[list[Spec], list[Fit]]:
    """The runs that a command asks for, and what its budget came to for each method and task.

    Args:
        suite: as for `make_plan`, as are the next four.
        methods: names of methods.
        tasks: names of tasks.
        seeds: whole numbers, or their text.
        overrides: changed settings.
        budget: as for `bench.config.budget.plan_within`; None to leave the methods as they are.
        data_root: where the data is to be.
        tuned: as for `make_plan`; what it has no settings for, and another budget, is warned of.

    Raises:
        UsageError: with all that is wrong in the arguments, and the data and encoders that are not there.
    """
    asked = suite, methods, tasks, seeds, overrides, tuned
    fits: list[Fit] = []
    if budget:
        from bench.config.budget import plan_within  # brings torch

        plan, fits = plan_within(budget, *asked)
    else:
        plan = make_plan(*asked)
    mistakes = Mistakes()
    if official := dict.fromkeys(spec.task for spec in plan if spec.data["source"] == "official"):
        with mistakes.gathered():
            check_official(official, data_root)
    with mistakes.gathered():
        check_recordable(plan)
    with mistakes.gathered():
        check_encoders(plan)
    mistakes.raise_if_any()
    if tuned:
        tuned.check_budget(budget)
    if tuned and (missing := tuned.missing(plan)):
        told = ", ".join(f"{method} on {task}" for task, method in missing)
        _log.warning("%s has no settings for %s: run with the suite's own, beside tuned ones", tuned.file, told)
    return plan, fits
