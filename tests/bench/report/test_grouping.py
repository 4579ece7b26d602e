from __future__ import annotations

import dataclasses

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.records.schema import Scores
from bench.report.grouping import across_worlds, sections


@pytest.fixture
def planned(mock_suite):
    """Makes specifications from the mock suite."""

    def make(methods="lora cola", tasks="ave avs", seeds="0", overrides=""):
        return make_plan(RunRequest(str(mock_suite), methods.split(), tasks.split(), seeds.split(), overrides.split()))

    return make


def labels(table):
    return [row.label for row in table.rows]


def test_seeds_make_one_row_and_tasks_one_section(planned):
    (section,) = sections(mocks.record(spec) for spec in planned(seeds="0 1 2"))
    assert (section.suite, section.changed) == ("mock", "")
    assert [table.task for table in section.tables] == ["ave", "avs"]
    assert [[len(row.records) for row in table.rows] for table in section.tables] == [[3, 3], [3, 3]]


def test_settings_make_rows_that_say_what_differs(planned):
    specs = [*planned(tasks="ave", seeds="0 1"), *planned("lora", "ave", "0", "lora.r=54 lora.alpha=27")]
    (section,) = sections(map(mocks.record, specs))
    assert labels(section.tables[0]) == ["lora", "lora (r=54, alpha=27.0)", "cola"]


def test_tuned_learning_rates_name_a_row_only_where_nothing_else_does(planned):
    usual = planned("lora", "ave", "0 1 2", "lora.lr_adapter=0.5")
    larger = planned("lora", "ave", "0 1", "lora.r=54 lora.alpha=27 lora.lr_adapter=0.25")
    again = planned("lora", "ave", "0", "lora.r=54 lora.alpha=27 lora.lr_adapter=0.125")
    named = [
        [*(mocks.record(spec, tuned=tuned) for spec in [*usual, *larger]), *(mocks.record(spec) for spec in more)]
        for tuned, more in (({"file": "tuned.toml"}, ()), ({"file": "tuned.toml"}, again), (None, ()))
    ]
    assert [labels(sections(records)[0].tables[0]) for records in named] == [
        ["lora", "lora (r=54, alpha=27.0)"],
        ["lora", "lora (r=54, alpha=27.0)", "lora (r=54, alpha=27.0, lr_adapter=0.125)"],
        ["lora", "lora (r=54, alpha=27.0, lr_adapter=0.25)"],
    ]


def test_tuned_rows_that_differ_in_their_learning_rates_only_say_so(planned):
    specs = [
        *planned("lora", "ave", "0 1", "lora.lr_adapter=0.5"),
        *planned("lora", "ave", "0", "lora.lr_adapter=0.25"),
    ]
    (section,) = sections(mocks.record(spec, tuned={"file": "tuned.toml"}) for spec in specs)
    assert labels(section.tables[0]) == ["lora", "lora (lr_adapter=0.25)"]


def test_what_a_method_has_of_the_recipe_for_itself_makes_no_other_condition(planned):
    specs = [*planned("lora", "ave"), *planned("cola", "ave", "0 1", "cola.head_factor=8 cola.lr_head=0.5")]
    (section,) = sections(map(mocks.record, specs))
    assert labels(section.tables[0]) == ["lora", "cola"]
    assert section.tables[0].rows[1].settings["head_factor"] == 8
    assert "train.head_factor" not in section.tables[0].condition


@pytest.mark.parametrize("override", ["train.epochs=1", "ave.hidden=8"])
def test_other_conditions_are_never_mixed(planned, override):
    specs = [*planned(seeds="0 1"), *planned(tasks="ave", overrides=override)]
    usual, overridden = sections(map(mocks.record, specs))
    assert usual.changed == ""
    assert overridden.changed == override
    assert [table.task for table in overridden.tables] == ["ave"]
    assert len(usual.tables[0].records) == 4


def test_suites_sources_and_versions_are_never_mixed(planned):
    specs = [
        *planned("lora", "ave"),
        *planned("lora", "ave", overrides="data.source=official"),
        *planned("lora", "ave", overrides="data.version=4"),
        dataclasses.replace(planned("lora", "ave")[0], suite="other"),
    ]
    assert [(section.suite, section.data) for section in sections(map(mocks.record, specs))] == [
        ("mock", {"source": "generated", "version": 3, "seed": 7}),
        ("mock", {"source": "official"}),
        ("mock", {"source": "generated", "version": 4, "seed": 7}),
        ("other", {"source": "generated", "version": 3, "seed": 7}),
    ]


@pytest.fixture
def in_worlds(planned):
    """Records of LoRA with rank 4 in world 0, and with rank 12 in worlds 0 and 1, each world with its own samples."""

    def make(**changes):
        usual, wide = (planned("lora", "ave", "0 1 2", f"lora.r={r} data.seed=0 lora.lr_adapter=0.5") for r in (4, 12))
        again = planned("lora", "ave", "0 1 2", "lora.r=12 data.seed=1 lora.lr_adapter=0.25")
        runs = [(0, usual), (0, wide[:2]), (1, again)]
        return [in_world(mocks.record(spec, **changes), world) for world, specs in runs for spec in specs]

    return make


def in_world(record, world):
    assert record.data
    return dataclasses.replace(record, data=dataclasses.replace(record.data, fingerprint=f"{world:08x}"))


def test_a_row_has_the_same_name_in_all_worlds(in_worlds):
    first, second = sections(in_worlds(tuned={"file": "tuned.toml"}))
    assert (first.data["seed"], second.data["seed"]) == (0, 1)
    assert labels(first.tables[0]) == ["lora", "lora (r=12)"]
    assert labels(second.tables[0]) == ["lora (r=12)"], "by itself it would be the usual one"
    first, second = sections(in_worlds())
    assert labels(second.tables[0]) == ["lora (r=12, lr_adapter=0.25)"], "which nobody tuned"


def test_tables_in_several_worlds_are_matched_by_all_but_their_samples(in_worlds, planned):
    longer = [
        in_world(mocks.record(spec), 1)
        for seed in "12"
        for spec in planned("lora", "ave", "0", f"ave.epochs=9 data.seed={seed}")
    ]
    fewer = dataclasses.replace(longer[0].data, fingerprint="ffffffff", skipped=3)
    skipped = [
        dataclasses.replace(mocks.record(spec), data=fewer)
        for spec in planned("lora", "ave", "7", "data.seed=1 lora.r=4")
    ]
    official = mocks.record(planned("lora", "ave", overrides="data.source=official")[0])
    collected = sections([*in_worlds(), *longer, *skipped, official])
    usual, of_longer = across_worlds(collected)
    assert [(section.data["seed"], len(table.records)) for section, table in usual] == [(0, 5), (1, 3)]
    assert [section.data["seed"] for section, _ in of_longer] == [1, 2]
    assert {table.condition["train.epochs"] for _, table in of_longer} == {9}


def test_failed_runs_are_kept_apart(planned):
    good, bad = planned(tasks="ave")
    (section,) = sections([mocks.record(good), mocks.failed(bad)])
    assert labels(section.tables[0]) == ["lora"]
    assert [record.id for record in section.tables[0].failed] == [bad.id]


def test_the_primary_metric_comes_first(planned):
    (spec,) = planned("lora", "ave")
    scores = Scores("accuracy", [], 1, {"f1": 1.0, "accuracy": 2.0}, 10, {})
    (section,) = sections([mocks.record(spec, scores=scores)])
    assert section.tables[0].metrics == ["accuracy", "f1"]
