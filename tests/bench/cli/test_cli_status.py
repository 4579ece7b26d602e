"""`bench status` on made-up records."""

from __future__ import annotations

import mocks
import pytest

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.execution.claims import Claims
from bench.records import store


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], range(3)))


def rows(capsys):
    lines = capsys.readouterr().out.splitlines()
    return [line.split() for line in lines if line.startswith("ave")], [line for line in lines if "in progress" in line]


def test_finished_failed_and_running_runs_are_counted(plan, mock_suite, tmp_path, capsys):
    for spec in plan[:2]:
        store.write(mocks.record(spec), tmp_path)
    store.write(mocks.failed(plan[2]), tmp_path)
    arguments = ["--suite", str(mock_suite), "--methods", "lora,cola", "--tasks", "ave", "--seeds", "0,1,2"]
    with Claims(tmp_path) as mine:
        mine.take(plan[3])
        assert cli.main(["status", "--results", str(tmp_path), *arguments]) == 0
        table, under_way = rows(capsys)
        assert table == [["ave", "lora", "1", "1", "1", "3"], ["ave", "cola", "1", "0", "2", "3"]]
        assert len(under_way) == 1 and plan[3].label in under_way[0] and "no sign of life" not in under_way[0]
    assert cli.main(["status", "--results", str(tmp_path)]) == 0
    table, under_way = rows(capsys)
    assert table == [["ave", "cola", "1", "0"], ["ave", "lora", "1", "1"]] and not under_way


def test_a_run_counts_once(plan, tmp_path, capsys):
    path = store.write(mocks.record(plan[0]), tmp_path)
    duplicate = store.write(mocks.record(plan[0], 1.0), tmp_path / "other")
    path.with_name("mine.json").write_bytes(duplicate.read_bytes())
    path.with_name("copy.json").write_bytes(path.read_bytes())
    assert cli.main(["status", "--results", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == [plan[0].task, plan[0].method, "1", "0"]
    assert lines[3] == "not counted: 1 other record of these runs"


def test_an_empty_folder(tmp_path, capsys):
    assert cli.main(["status", "--results", str(tmp_path)]) == 0
    assert "contains no records" in capsys.readouterr().out
    assert cli.main(["status", "--results", str(tmp_path / "none")]) == 2
    assert (
        capsys.readouterr().err == f"bench: there is no results folder {tmp_path / 'none'}: choose one with --results\n"
    )


@pytest.mark.parametrize("option", [["--seeds", "1"], ["--suite", "mini"], ["--set", "cola.r=8"], ["--worlds", "2"]])
def test_options_of_a_plan_need_its_methods_and_tasks(option, plan, tmp_path, capsys):
    store.write(mocks.record(plan[0]), tmp_path)
    assert cli.main(["status", "--results", str(tmp_path), *option]) == 2
    message = capsys.readouterr().err
    assert "no methods given" in message and "no tasks given" in message
