"""Plan the runs of a command, and check that their data and encoders are available."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.plan import RunRequest, make_plan
from bench.config.preflight import check_encoders, check_official
from bench.config.spec import Spec
from bench.errors import Mistakes
from bench.records.checks import check_recordable

if TYPE_CHECKING:
    from bench.config.budget import BudgetFit

_log = logging.getLogger(__name__)


def plan_runs(request: RunRequest, data_root: Path | None = None) -> tuple[list[Spec], list[BudgetFit]]:
    """Return the requested runs, and what the budget came to for each method and task.

    It warns about methods that the tuned settings do not contain, and about settings tuned at a different budget.

    Args:
        request: the runs.
        data_root: folder of the official releases, or of the generated data's cache.

    Raises:
        UsageError: all mistakes in the request, and the data and encoders that are missing.
    """
    fits: list[BudgetFit] = []
    if request.budget:
        from bench.config.budget import plan_within  # imports torch

        plan, fits = plan_within(request)
    else:
        plan = make_plan(request)
    mistakes = Mistakes()
    if official := dict.fromkeys(spec.task for spec in plan if spec.data["source"] == "official"):
        with mistakes.gathered():
            check_official(official, data_root)
    with mistakes.gathered():
        check_recordable(plan)
    with mistakes.gathered():
        check_encoders(plan)
    mistakes.raise_if_any()
    tuned = request.tuned
    if tuned:
        tuned.check_budget(request.budget)
    if tuned and (missing := tuned.missing(plan)):
        pairs = ", ".join(f"{method} on {task}" for task, method in missing)
        _log.warning("%s has no settings for %s: run with the suite's own, beside tuned ones", tuned.file, pairs)
    return plan, fits
