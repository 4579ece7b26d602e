"""Folders in which several files hold records of one run."""

from __future__ import annotations

import shutil
from dataclasses import replace

import mocks
import numpy as np
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.records import sample_scores, store
from bench.records.schema import Code, Provenance
from bench.report.standings import compute_standings


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1, 2]))


@pytest.fixture
def folder(plan, tmp_path):
    """Records of three seeds of two methods, with what each of 40 test samples scored."""
    for spec in plan:
        store.write(mocks.record(spec, 70 + spec.seed), tmp_path)
        keep(tmp_path, store.find(tmp_path, spec).stem, spec.seed)
    return tmp_path


def keep(results, stem, seed):
    scores = np.random.default_rng(seed).normal(0, 5, 40)
    sample_scores.save({"test": {"accuracy": scores - scores.mean() + 70 + seed}}, results, stem)


def path_of(results, spec):
    return store.find(results, spec)


def beside(path, name):
    """A copy of a record beside it; `name` is what its name has besides."""
    return shutil.copy(path, path.with_name(path.name.replace(".json", f"{name}.json")))


@pytest.mark.parametrize("name", [" (1)", "-LAPTOP", ".sync-conflict-20260101", "~1", "(kopie)"])
def test_equal_copies_are_one_record(folder, plan, name, caplog):
    before = compute_standings(store.read_all(folder), folder)
    for spec in plan:
        beside(path_of(folder, spec), name)
    counted = store.read_all(folder)
    assert sorted(record.id for record in counted) == sorted(spec.id for spec in plan)
    assert compute_standings(counted, folder) == before
    assert not any(record.file.earlier or record.file.unequal for record in counted) and not caplog.messages


def test_nan_is_equal_in_copies(tmp_path, plan, caplog):
    template = mocks.record(plan[0])
    path = store.write(replace(template, throughput=replace(template.throughput, train=float("nan"))), tmp_path)
    beside(path, " (1)")
    assert len(store.read_all(tmp_path)) == 1 and not caplog.messages


@pytest.mark.parametrize("later", ["2026-01-01T00:00:00+00:00", "2026-12-31T00:00:00+00:00"])
def test_of_unequal_records_the_one_with_the_runs_name_counts_and_a_warning_names_both(folder, plan, later, caplog):
    path = path_of(folder, plan[0])
    copy = beside(path, "-LAPTOP")
    second_folder = folder / "other"
    copy.write_bytes(store.write(mocks.record(plan[0], 99.0, finished=later), second_folder).read_bytes())
    (counted,) = (record for record in store.read_all(folder) if record.id == plan[0].id)
    assert counted.scores.test["accuracy"] == 70
    assert counted.file.unequal == (copy.stem,) and not counted.file.earlier
    (message,) = caplog.messages
    assert path.name in message and copy.name in message


def test_without_a_file_of_the_runs_name_the_one_that_ended_last_counts(tmp_path, plan):
    ends = {"b": "2026-01-02", "a": "2026-01-03", "c": "2026-01-01"}
    for score, (name, end) in enumerate(ends.items()):
        path = store.write(mocks.record(plan[0], score, finished=end), tmp_path)
        path.rename(path.with_name(f"{name}.json"))
    (record,) = store.read_all(tmp_path)
    assert (record.finished, record.file.stem) == ("2026-01-03", "a")
    assert sorted(record.file.unequal) == ["b", "c"]


def provenance(method="1", task="2", encoder="3", version="1.0"):
    return Provenance(Code(method, "mine", version), Code(task), {"vision": encoder})


@pytest.mark.parametrize(
    ("change", "otherwise"),
    [
        ({"provenance": provenance(method="x")}, True),
        ({"provenance": provenance(task="x")}, True),
        ({"provenance": provenance(encoder="x")}, True),
        ({"provenance": provenance(version="2.0")}, True),
        ({"provenance": None}, False),
        ({"fingerprint": "x"}, True),
        ({"splits": {"train": "a", "test": "x"}}, True),
        ({"splits": None}, False),
        ({"counts": {"train": 90, "test": 9}}, True),
    ],
)
def test_earlier_records_of_other_code_encoders_or_data_do_not_count(tmp_path, plan, change, otherwise, caplog):
    now = mocks.record(plan[0], 80.0, provenance=provenance())
    now = replace(now, data=replace(now.data, splits={"train": "a", "test": "b"}))
    then = mocks.record(plan[0], 60.0, provenance=change.pop("provenance", provenance()))
    then = replace(then, data=replace(now.data, **change))
    earlier = store.write(then, tmp_path)
    earlier = earlier.rename(earlier.with_name(f"{earlier.stem}-OLD.json"))
    store.write(now, tmp_path)
    (record,) = store.read_all(tmp_path)
    assert record.scores.test["accuracy"] == 80
    assert record.file.earlier == ((earlier.stem,) if otherwise else ())
    assert bool(record.file.unequal) is bool(caplog.messages) is not otherwise


def test_a_run_that_failed_when_repeated_counts_as_failed_without_a_warning(tmp_path, plan, caplog):
    store.write(mocks.record(plan[0], 70.0), tmp_path)
    store.write(mocks.failed(plan[0]), tmp_path)
    (record,) = store.read_all(tmp_path)
    assert record.status == "failed" and len(record.file.earlier) == 1 and not record.file.unequal
    assert not caplog.messages


def test_scores_of_samples_are_those_beside_the_record_that_counts(folder, plan):
    whole = compute_standings(store.read_all(folder), folder)
    for path in [*(folder / store.FOLDER).iterdir()]:
        path.rename(path.with_name(f"{path.stem}~1{path.suffix}"))
    (standing, *_), *_ = (section.tasks[0].standings for section in compute_standings(store.read_all(folder), folder))
    assert standing.gain.with_samples and whole[0].tasks[0].standings[0].gain == standing.gain
