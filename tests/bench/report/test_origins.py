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


HERE = replace(
    mocks.ENVIRONMENT, processor="EPYC", instructions="AVX2", precision="no", variables={"OMP_NUM_THREADS": "1"}
)
MADE = Provenance(Code("a", "mine", "0.1"), Code("b"), {"vision": "c", "audio": "d"})


def noted(plan, environment=HERE, provenance=MADE):
    """The notes of six runs, of which the first was made otherwise."""
    first, *others = (mocks.record(spec, environment=HERE, provenance=MADE) for spec in plan)
    made = [replace(first, environment=environment, provenance=provenance), *others]
    (section,) = sections(made)
    found = notes(section.tables[0])
    for form in (leaderboard, page):
        assert all(line.replace("'", "") in form(compute_standings(made)).replace("'", "") for line in found)
    return found


def test_runs_that_were_made_alike_need_no_words(plan):
    assert [line.split(":")[0] for line in noted(plan)] == ["All rows", "Measured on", "Memory"]


@pytest.mark.parametrize(
    ("change", "told"),
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
def test_what_differs_in_software_and_machine(plan, change, told):
    assert sum(told in line for line in noted(plan, environment=replace(HERE, **change))) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": Code("x")}, "code of lora in 2 versions (of 2 and 1 run)"),
        ({"method": Code("a", "mine", "0.2")}, "mine 0.1 in 2 runs, 0.2 in 1 run"),
        ({"task": Code("x")}, "code of the task in 2 versions (of 5 and 1 run)"),
        ({"encoders": {"vision": "x", "audio": "d"}}, "encoder of vision in 2 versions (of 5 and 1 run)"),
    ],
)
def test_what_differs_in_code_and_encoders(plan, change, told):
    assert f"Code or encoders differ: {told}" in noted(plan, provenance=replace(MADE, **change))


def test_what_older_records_do_not_tell_is_not_said_to_differ(plan):
    unknown = replace(HERE, processor=None, instructions=None, precision=None, variables=None, commit=None, dirty=None)
    assert len(noted(plan, environment=unknown, provenance=None)) == 3


def test_records_that_do_not_count_are_told(plan, tmp_path):
    paths = [store.write(mocks.record(spec, provenance=MADE), tmp_path) for spec in plan]
    other = tmp_path / "other"
    for number, path in enumerate(paths[:2]):
        made = mocks.record(plan[number], 1.0, provenance=replace(MADE, method=Code("x")))
        path.with_name(f"{path.stem}~1.json").write_bytes(store.write(made, other).read_bytes())
    copy = paths[2].with_name("mine.json")
    copy.write_bytes(store.write(mocks.record(plan[2], 1.0, provenance=MADE), other).read_bytes())
    text = leaderboard(compute_standings(store.read_all(tmp_path), tmp_path))
    assert "- Left out: 2 earlier records of these runs, from before code, encoders or data changed" in text
    label = mocks.record(plan[2]).label
    assert f"- Different records of the same run ({label}): {paths[2].name} counts, not mine.json" in text
    assert "6 runs" in text
