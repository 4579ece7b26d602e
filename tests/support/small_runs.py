"""Specifications of runs on a few generated videos (see `mocks.FEW`), two epochs of two samples a step."""

from __future__ import annotations

from mocks import EACH_ONCE

from bench.config.plan import RunRequest, make_plan
from bench.config.spec import Spec


def spec(task: str, method: str, *changes: str, seed: int = 0) -> Spec:
    few = [*EACH_ONCE, "train.batch_size=2", f"{task}.epochs=2"]
    (one,) = make_plan(RunRequest("mini", [method], [task], [seed], [*few, *changes]))
    return one
