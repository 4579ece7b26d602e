"""What the notes of a table say of runs that were not made alike."""

from __future__ import annotations

from dataclasses import replace

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.records import store
from bench.records.schema import Code, Provenance
from bench.report.grouping import sections
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.notes import notes
from bench.report.standings import compute_standings


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1, 2]))


ENVIRONMENT = replace(
    mocks.ENVIRONMENT, processor="EPYC", instructions="AVX2", precision="no", variables={"OMP_NUM_THREADS": "1"}
)
PROVENANCE = Provenance(Code("a", "mine", "0.1"), Code("b"), {"vision": "c", "audio": "d"})


def noted(plan, environment=ENVIRONMENT, provenance=PROVENANCE):
    """The notes of six runs, of which the first was made otherwise."""
    first, *remaining = (mocks.record(spec, environment=ENVIRONMENT, provenance=PROVENANCE) for spec in plan)
    records = [replace(first, environment=environment, provenance=provenance), *remaining]
    (section,) = sections(records)
    lines = notes(section.tables[0])
    for form in (leaderboard, page):
        assert all(line.replace("'", "") in form(compute_standings(records)).replace("'", "") for line in lines)
    return lines


def test_runs_that_were_made_alike_need_no_words(plan):
    assert [line.split(":")[0] for line in noted(plan)] == ["All rows", "Measured on", "Memory"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"versions": {"torch": "2.12.0", "peft": "0.21.2"}}, "these differ: torch 2.12.0 in 1 run, 2.13.0 in 5 runs"),
        ({"versions": {"torch": "2.13.0", "peft": "0.20"}}, "these differ: peft 0.20 in 1 run, 0.21.2 in 5 runs"),
        ({"precision": "bf16"}, "these differ: precision bf16 in 1 run, no in 5 runs"),
        ({"processor": "Xeon"}, "these differ: processor EPYC in 5 runs, Xeon in 1 run"),
        ({"instructions": "AVX512"}, "these differ: instructions AVX2 in 5 runs, AVX512 in 1 run"),
        ({"variables": {}}, "these differ: OMP_NUM_THREADS 1 in 5 runs, unset in 1 run"),
        ({"processor": "Xeon", "precision": "fp16"}, "precision fp16 in 1 run, no in 5 runs; processor EPYC in 5 runs"),
        ({"commit": "f" * 40}, "Run with 2 commits of this package"),
        ({"dirty": True}, "Run with uncommitted changes in 1 run"),
        ({"dirty": True, "commit": "f" * 40}, "Run with 2 commits of this package, uncommitted changes in 1 run"),
    ],
)
def test_what_differs_in_software_and_machine(plan, change, message):
    assert sum(message in line for line in noted(plan, environment=replace(ENVIRONMENT, **change))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": Code("x")}, "code of lora in 2 versions (of 2 and 1 run)"),
        ({"method": Code("a", "mine", "0.2")}, "mine 0.1 in 2 runs, 0.2 in 1 run"),
        ({"task": Code("x")}, "code of the task in 2 versions (of 5 and 1 run)"),
        ({"encoders": {"vision": "x", "audio": "d"}}, "encoder of vision in 2 versions (of 5 and 1 run)"),
    ],
)
def test_what_differs_in_code_and_encoders(plan, change, message):
    assert f"Code or encoders differ: {message}" in noted(plan, provenance=replace(PROVENANCE, **change))


def test_fields_missing_in_older_records_are_not_differences(plan):
    unknown = replace(
        ENVIRONMENT, processor=None, instructions=None, precision=None, variables=None, commit=None, dirty=None
    )
    assert len(noted(plan, environment=unknown, provenance=None)) == 3


def test_records_that_do_not_count_are_reported(plan, tmp_path):
    paths = [store.write(mocks.record(spec, provenance=PROVENANCE), tmp_path) for spec in plan]
    second_folder = tmp_path / "other"
    for number, path in enumerate(paths[:2]):
        record = mocks.record(plan[number], 1.0, provenance=replace(PROVENANCE, method=Code("x")))
        path.with_name(f"{path.stem}~1.json").write_bytes(store.write(record, second_folder).read_bytes())
    copy = paths[2].with_name("mine.json")
    copy.write_bytes(store.write(mocks.record(plan[2], 1.0, provenance=PROVENANCE), second_folder).read_bytes())
    text = leaderboard(compute_standings(store.read_all(tmp_path), tmp_path))
    assert "- Left out: 2 earlier records of these runs, from before code, encoders or data changed" in text
    label = mocks.record(plan[2]).label
    assert f"- Different records of the same run ({label}): {paths[2].name} counts, not mine.json" in text
    assert "6 runs" in text
