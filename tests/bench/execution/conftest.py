from __future__ import annotations

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.execution import claims


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(6)))


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(claims, "TOUCH_INTERVAL", 0.02)
    monkeypatch.setattr(claims, "STALE_AFTER", 0.3)
    monkeypatch.setattr("bench.execution.sweep._POLL_INTERVAL", 0.02)


class Runs:
    """Stands for `bench.execution.single_run.execute`."""

    def __init__(self):
        self.done = []

    def __call__(self, spec, options):
        self.done.append(spec)
        return mocks.record(spec)


@pytest.fixture
def runs(monkeypatch):
    stand_in = Runs()
    monkeypatch.setattr("bench.execution.single_run.execute", stand_in)
    return stand_in
