"""Runs that compute what runs with other settings compute are told when they are planned."""

from __future__ import annotations

import pytest

from bench.config.equal_settings import equal_runs
from bench.config.plan import RunRequest, make_plan
from bench.execution.planning import plan_request

BOTH_WAYS = "cola.paths=['vision>audio', 'audio > vision']"


def planned(task, method="cola", *changes):
    return make_plan(RunRequest("mini", [method], [task], (0, 1), changes))


@pytest.mark.parametrize(
    ("task", "method", "changes", "equal"),
    [
        ("ave", "cola", ["cola.joint=true"], "cola with joint=true on ave computes the same as with joint=false"),
        ("ave", "cola", [BOTH_WAYS], "paths=[] since"),
        ("ave", "cola+dora", ["cola+dora.joint=true"], "cola+dora with joint=true on ave"),
        ("refavs", "cola", ["cola.joint=true", "cola.paths=['vision>audio', 'audio>text']"], "joint=false"),
        ("refavs", "cola", ["cola.joint=true"], ""),
        ("refavs", "cola", ["cola.joint=true", "cola.paths=['vision>audio', 'text>audio']"], ""),
        ("refavs", "cola", [BOTH_WAYS], ""),
        ("ave", "cola", ["cola.paths=vision>audio"], ""),
        ("ave", "cola", [BOTH_WAYS, "cola.streams=audio"], ""),
        ("ave", "cola", [], ""),
        ("ave", "lora", [], ""),
    ],
)
def test_settings_without_effect_are_told_once_for_all_seeds(task, method, changes, equal):
    messages = list(equal_runs(planned(task, method, *changes)))
    assert len(messages) == bool(equal)
    assert not equal or equal in messages[0].replace(",", "")


def test_it_is_told_whether_the_equal_run_is_planned_too(caplog):
    joint, plain = planned("ave", "cola", "cola.joint=true"), planned("ave")
    assert next(equal_runs([*joint, *plain])).endswith(
        "since no stream reads two others there: both are planned, and each is done"
    )
    plan_request(RunRequest("mini", ["cola"], ["ave"], overrides=["cola.joint=true"]))
    assert caplog.messages[0].endswith("it is done as a run of its own")
    caplog.clear()
    plan_request(RunRequest("mini", ["cola"], ["ave"], overrides=["cola.joint=true"]), ready=False)
    assert not caplog.messages
