"""`bench status` on made-up records."""

from __future__ import annotations

import os

import mocks
import pytest

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.execution.claims import Claims
from bench.records import store

STUDY = """\
suite = "mock.toml"
tasks = ["ave", "avs"]
seeds = [0, 1, 2, 3]

[[stages]]
name = "main"
methods = ["lora"]
tasks = ["ave"]

[[stages]]
name = "more"
methods = ["lora"]

[stages.variations.wide]
method = "cola"
set.cola.r = 32
"""


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
        assert table == [["ave", "lora", "1", "1", "0", "1", "3"], ["ave", "cola", "1", "0", "1", "1", "3"]]
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


def test_an_experiment_is_shown_stage_by_stage(mock_suite, tmp_path, capsys, monkeypatch):
    """Its encoders and data need not be there, and a run counts in the first stage that requests it."""
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.setattr("bench.execution.planning._check_available", None)
    results = tmp_path / "out"
    lora = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(4)))
    wide = make_plan(RunRequest(str(mock_suite), ["cola"], ["avs"], range(4), ["cola.r=32"]))
    for spec in (lora[0], *wide):
        store.write(mocks.record(spec), results)
    store.write(mocks.failed(lora[1]), results)
    with Claims(results) as mine:
        mine.take(lora[3])
        assert cli.main(["status", str(tmp_path / "study.toml"), "--results", str(results)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["stage", "task", "method", "ok", "failed", "running", "left", "planned"]
    assert lines[2:6] == [
        ["main", "ave", "lora", "1", "1", "1", "1", "4"],
        ["more", "ave", "wide", "0", "0", "0", "4", "4"],
        ["more", "avs", "lora", "0", "0", "0", "4", "4"],
        ["more", "avs", "wide", "4", "0", "0", "0", "4"],
    ]
    assert (
        "\nfailed, of a line with others: main: ave lora seed 1\nleft, of a line with others: main: ave lora seed 2\n"
        in out
    )
    assert "\n16 runs: 5 ok, 1 failed, 1 running, 9 left\n" in out and "counted once: 4 runs\n" in out
    assert f"in progress: {lora[3].label}" in out
    assert cli.main(["status", str(tmp_path / "study.toml"), "--stage", "main", "--results", str(results)]) == 0
    assert "\n4 runs: 1 ok, 1 failed, 0 running, 2 left\n" in capsys.readouterr().out
    assert cli.main(["status", str(tmp_path / "study.toml"), "--methods", "lora", "--results", str(results)]) == 2
    assert "--methods: not with an experiment file" in capsys.readouterr().err


def test_runs_are_chosen_as_bench_run_chooses_them(mock_suite, tmp_path, capsys):
    """With a claim that is no longer touched, a run is left."""
    chosen = [
        "--suite",
        str(mock_suite),
        "--methods",
        "lora",
        "--tasks",
        "ave",
        "--streams",
        "audio",
        "--worlds",
        "3",
        "4",
    ]
    request = RunRequest(str(mock_suite), ["lora"], ["ave"], (0,), ['data.streams=["audio"]'], worlds=(3, 4))
    third, fourth = make_plan(request)
    store.write(mocks.record(third), tmp_path)
    with Claims(tmp_path) as mine:
        mine.take(fourth)
        (claim,) = (tmp_path / "claims").iterdir()
        os.utime(claim, (0, 0))
        assert cli.main(["status", *chosen, "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "left, of a line with others: ave lora world 4 seed 0\n2 runs: 1 ok, 0 failed, 0 running, 1 left\n" in out
    assert cli.main(["status", "--stage", "main", "--results", str(tmp_path)]) == 2
    assert "as in `bench status FILE.toml --stage NAME`" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--seeds", "1"], ["--suite", "mini"], ["--set", "cola.r=8"], ["--worlds", "2"]])
def test_options_of_a_plan_need_its_methods_and_tasks(option, plan, tmp_path, capsys):
    store.write(mocks.record(plan[0]), tmp_path)
    assert cli.main(["status", "--results", str(tmp_path), *option]) == 2
    message = capsys.readouterr().err
    assert "no methods given" in message and "no tasks given" in message
