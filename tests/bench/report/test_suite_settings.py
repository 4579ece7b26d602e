"""Tables say which settings of their runs are not those of the suite."""

from __future__ import annotations

import dataclasses
import logging

import mocks
import pytest

from bench import registry
from bench.config import inherited_settings
from bench.config.plan import RunRequest, make_plan
from bench.methods.lora import LoRA
from bench.report.grouping import sections
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.standings import compute_standings
from bench.report.suite_settings import SuiteSettings
from bench.report.terminal import run_table


def measured(methods, *changes, task="ave", suite="mini", **request):
    """A record of each method with these values of --set."""
    specs = make_plan(RunRequest(suite, methods, [task], overrides=changes, **request))
    return [mocks.record(spec, 70.0 + number) for number, spec in enumerate(specs)]


def lines(records):
    """The lines of all tables of records."""
    return [SuiteSettings().changes(table) for section in sections(records) for table in section.tables]


def changes(*of_set, methods=("lora", "cola"), **request):
    """What the table of such runs says."""
    (line,) = lines(measured(methods, *of_set, **request))
    return line.removeprefix("Differs from the suite's settings: ")


@pytest.mark.parametrize("task", ["ave", "refcoco", "refcoco+refcoco_plus", "refavs"])
def test_nothing_is_said_of_runs_as_the_suite_has_them(task):
    assert changes(methods=("head", "lora", "cola", "adalora", "cola+lora"), task=task) == ""
    assert changes(methods=("lora",), suite="full", task=task) == ""


def test_of_all_rows_once():
    assert changes("train.epochs=1") == "train.epochs=1 (mini: 6)"
    assert changes("ave.hidden=64", "data.version=2") == "data.version=2 (mini: 3), ave.hidden=64 (mini: 512)"
    assert changes("vision.model=embedded:vision-v1", "audio.frames=20") == (
        "streams.vision.model=embedded:vision-v1 (mini: embedded:vision-v2), streams.audio.frames=20 (mini: none)"
    )
    assert changes("train.lr_head=0.1", "train.micro_batch=2") == (
        "train.micro_batch=2 (mini: none), lr_head=0.1 (mini: 0.005)"
    ), "also a rate, which methods may have of their own"


def test_of_defaults_that_specifications_leave_out():
    assert changes("train.beta2=0.999") == "train.beta2=0.999 (mini: 0.95)"
    assert changes("cola.shared=true") == "cola: shared=true (mini: false)"
    assert changes("cola.hidden=16", "cola.reduction=16") == "cola: hidden=16 (mini: none)", (
        "reduction has no effect then"
    )


def test_of_single_rows_with_their_label():
    assert changes("lora.r=8", "train.epochs=1") == "train.epochs=1 (mini: 6); lora: r=8 (mini: 4)"
    assert changes("train.lr_adapter=0.1", methods=["lora", "full"]) == (
        "lora: lr_adapter=0.1 (mini: 0.005); full: lr_adapter=0.1 (mini: 0.0005)"
    )
    assert changes("lora.r=8", methods=["lora"]) == "lora: r=8 (mini: 4)"


def test_what_a_label_says_is_not_repeated():
    usual = measured(["lora"], seeds=[0, 1])
    assert lines([*usual, *measured(["lora"], "lora.r=8", "lora.alpha=4")]) == [""]
    most_are_changed = [*measured(["lora"]), *measured(["lora"], "lora.r=8", seeds=[0, 1])]
    assert lines(most_are_changed) == ["Differs from the suite's settings: lora: r=8 (mini: 4)"], "without a label"
    inner = [*measured(["cola"], seeds=[0, 1]), *measured(["cola"], "cola.inter_r=8", "cola.r=8")]
    assert lines(inner) == [""]


def test_what_the_harness_varies_is_not_repeated():
    for same in (
        measured(["lora"], seeds=[3]),
        measured(["lora"], worlds=[0, 5]),
        measured(["lora"], 'data.streams=["vision"]'),
        [dataclasses.replace(record, tuned={"file": "t.toml"}) for record in measured(["lora"], "lora.lr_adapter=0.1")],
    ):
        assert set(lines(same)) == {""}
    tuned = [dataclasses.replace(record, tuned={"file": "t.toml"}) for record in measured(["lora"], "lora.r=8")]
    assert lines(tuned) == ["Differs from the suite's settings: lora: r=8 (mini: 4)"], "that is not from the file"


def test_nothing_is_said_without_the_suite_or_its_task():
    changed = measured(["lora"], "train.epochs=1")
    for spec in (
        dataclasses.replace(changed[0].spec, suite="mine"),
        dataclasses.replace(changed[0].spec, suite="natural"),
        dataclasses.replace(changed[0].spec, task="gone"),
    ):
        assert lines([dataclasses.replace(changed[0], spec=spec)]) == [""]


def test_a_method_that_is_gone_leaves_what_the_others_tell():
    first, second = measured(["lora", "cola"], "train.epochs=1", "train.lr_head=0.1")
    gone = dataclasses.replace(second, spec=dataclasses.replace(second.spec, method="gone"))
    assert lines([first, gone]) == [
        "Differs from the suite's settings: train.epochs=1 (mini: 6); lora: lr_head=0.1 (mini: 0.005)"
    ]


def test_all_forms_of_the_leaderboard_say_it():
    records = [
        *measured(["lora", "cola"], "train.epochs=1", worlds=[0, 1]),
        *measured(["lora", "cola"], task="avs", worlds=[0, 1]),
    ]
    line = "Differs from the suite's settings: train.epochs=1 (mini: 6)"
    pointer = "Settings differ from the suite's, as the tables of these tasks say: ave"
    standings = compute_standings(records)
    for text in (leaderboard(standings), page(standings)):
        assert text.count(line) == 2, "in each world"
        assert text.count(pointer) == 3, "above the tables over all tasks, and over worlds"
        assert "avs" not in text.split(pointer)[1].splitlines()[0].split("<")[0]
    terminal = run_table(records)
    assert terminal.count(f"ave: {line}") == 2 and "avs: Differs" not in terminal


def test_a_table_of_runs_of_other_packages_does_not_repeat_the_warning_of_the_plan(monkeypatch, caplog):
    monkeypatch.setattr("bench.registry._added", {kind: {} for kind in registry._added})
    inherited_settings._warn_once.cache_clear()
    registry.add("methods", "mine", type("Mine", (LoRA,), {}))
    records = measured(["mine"], "mine.r=8")
    assert "inherits settings of lora" in caplog.text
    inherited_settings._warn_once.cache_clear()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert lines(records) == ["Differs from the suite's settings: mine: r=8 (mini: 4)"]
    assert not caplog.records
