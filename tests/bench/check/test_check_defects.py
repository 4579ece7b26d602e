"""Each planted defect fails the check for its own reason, on a few videos; `make check-defects` does it on all."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache

import pytest
from defects import DEFECTS

from bench.check.baseline import Cost, TaskBaseline, gather
from bench.check.compare import compare
from bench.check.integrity import check_records
from bench.check.reader_probe import probe
from bench.check.sanity_run import sanity_run
from bench.config.plan import RunRequest, make_plan
from bench.execution.single_run import execute
from bench.records.environment import environment

ENVIRONMENT = environment("cpu", 2)
READER_DEFECTS = {name for name, defect in DEFECTS.items() if defect.found_by.startswith("samples")}
METHOD_DEFECTS = {name for name, defect in DEFECTS.items() if defect.found_by.startswith("parameters")}
HARNESS_DEFECTS = DEFECTS.keys() - READER_DEFECTS - METHOD_DEFECTS


@pytest.fixture(scope="module")
def readers(options):
    """What the readers give, by task."""
    (ave, avs) = make_plan(RunRequest("check", ["lora"], ["ave", "avs"]))
    return {"ave": probe(ave, options), "avs": probe(avs, options)}


@pytest.fixture(scope="module")
def clean(options, readers):
    """What a check compares of a run without a defect, each method once."""
    return lru_cache(lambda method: measured(options, method, readers))


def measured(options, method, readers):
    """What a check compares of a run of a method on AVS; nothing is wrong in its record."""
    (spec,) = make_plan(RunRequest("check", [method], ["avs"], [0], ["avs.epochs=1", "avs.batch_size=2"]))
    record = execute(spec, options)
    records = [record, replace(record, spec=replace(record.spec, seed=1))]  # a spread, of 0, takes two
    assert failures(check_records(records)) == set()
    return gather(records, {"avs": {method: Cost(1.0, 1.0, 1.0, bytes=100)}}, readers, ENVIRONMENT, "a processor")


def failures(rows):
    return {row.quantity for row in rows if row.failed}


@pytest.mark.parametrize("name", sorted(METHOD_DEFECTS))
def test_a_defect_of_a_method_is_detected(clean, options, readers, name):
    defect = DEFECTS[name]
    baseline = clean(defect.method)
    assert failures(compare(baseline, baseline, [])) == set()
    with defect.plant():
        fresh = measured(options, defect.method, readers)
    assert defect.found_by in failures(compare(baseline, fresh, []))


@pytest.mark.parametrize("name", sorted(READER_DEFECTS))
def test_a_defect_of_a_reader_is_detected(clean, options, readers, name):
    """Also where the samples that are trained on were prepared before it came in, and told as well."""
    (spec,) = make_plan(RunRequest("check", ["lora"], ["ave"]))
    with DEFECTS[name].plant():
        now = probe(spec, options)
    baseline, fresh = (replace(clean("lora"), tasks={"ave": TaskBaseline(data, {})}) for data in (readers["ave"], now))
    assert failures(compare(baseline, baseline, [])) == set()
    places = [f"samples: targets.{split}" for split in ("train", "val", "test")]
    assert failures(compare(baseline, fresh, [])) == {"samples: stale", *places}
    assert DEFECTS[name].found_by in places


@pytest.mark.parametrize("name", ["none", *sorted(HARNESS_DEFECTS)])
def test_the_sanity_run_detects_a_defect_of_the_harness(options, name):
    (spec,) = make_plan(RunRequest("check", ["lora"], ["avs"]))
    with DEFECTS[name].plant() if name in DEFECTS else nullcontext():
        failed_rows = failures(check_records([sanity_run(spec, options)]))
    if name == "none":
        assert failed_rows == set()
    else:
        assert any(DEFECTS[name].found_by in row for row in failed_rows), failed_rows
