"""Sweeps of several commands over one results folder: each run is done once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mocks
import pytest
from claim_files import rewritten

from bench.config.run_options import RunOptions
from bench.errors import BenchError
from bench.execution.finished_runs import look_up
from bench.execution.local_executor import LocalExecutor
from bench.execution.sweep import sweep
from bench.records import store


def test_two_sweeps_share_the_runs_and_both_have_all_records(plan, tmp_path, runs, fast):
    one, two = (sweep(plan, tmp_path, RunOptions()) for _ in range(2))
    ids_by_command = {name: [] for name in "ab"}
    for name, records in [("a", one), ("b", two), ("a", one), ("b", two)]:  # by turns, as in two processes
        ids_by_command[name].append(next(records).id)
    ids_by_command["a"] += [record.id for record in one]
    ids_by_command["b"] += [record.id for record in two]
    for ids in ids_by_command.values():
        assert sorted(ids) == sorted(spec.id for spec in plan)
    assert len(runs.done) == len(plan)


def test_superseded_runs_are_repeated(plan, tmp_path, runs):
    for spec in plan[:2]:
        store.write(mocks.failed(spec), tmp_path)
    superseded = {plan[1].id: mocks.failed(plan[1])}
    swept = sweep(plan[:2], tmp_path, RunOptions(), superseded=superseded)
    assert [record.status for record in swept] == ["ok", "failed"]
    assert [spec.seed for spec in runs.done] == [1]


def test_a_run_that_another_command_has_repeated_is_not_repeated(plan, tmp_path, runs):
    """Both began when the run had a record that is not to count; the other was first."""
    superseded = {plan[0].id: mocks.record(plan[0], 1.0)}
    store.write(mocks.record(plan[0], 2.0), tmp_path)
    (record,) = sweep(plan[:1], tmp_path, RunOptions(), superseded=superseded)
    assert record == mocks.record(plan[0], 2.0)
    assert not runs.done


def test_a_run_that_another_command_took_over_and_finished_is_not_written_again(plan, tmp_path, monkeypatch):
    def asleep(spec, options):
        rewritten(tmp_path, token="other")
        store.write(mocks.record(spec, 99.0), tmp_path)
        return mocks.record(spec, 1.0)

    monkeypatch.setattr("bench.execution.single_run.execute", asleep)
    list(sweep(plan[:1], tmp_path, RunOptions()))
    (record,) = store.read_all(tmp_path)
    assert record.scores.test[record.scores.metric] == 99.0


def test_the_run_of_a_truncated_record_is_repeated(plan, tmp_path, runs, caplog):
    path = store.write(mocks.record(plan[0]), tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    assert look_up(plan[:1], tmp_path).finished == {}
    assert [record.status for record in sweep(plan[:1], tmp_path, RunOptions())] == ["ok"]
    assert f"{path} is not a readable record" in caplog.text and "the run is done again" in caplog.text
    assert store.read(path).id == plan[0].id


def test_a_record_of_a_later_version_is_not_overwritten(plan, tmp_path, runs):
    path = store.write(mocks.record(plan[0]), tmp_path)
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(BenchError, match="schema is 3, and this version of bench reads up to 2"):
        look_up(plan[:1], tmp_path)
    with pytest.raises(BenchError, match="schema is 3"):
        list(sweep(plan[:1], tmp_path, RunOptions()))
    assert '"schema": 3' in path.read_text() and not runs.done


def test_a_full_disk_loses_no_record(plan, tmp_path, monkeypatch):
    """The record is part of the message, and no part of it stays in the folder."""

    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills(spec, options):
        monkeypatch.setattr(os, "fsync", fsync)
        return mocks.record(spec)

    monkeypatch.setattr("bench.execution.single_run.execute", fills)
    with pytest.raises(BenchError, match="No space left on device") as raised:
        list(sweep(plan[:1], tmp_path, RunOptions()))
    assert json.loads(str(raised.value).rpartition("\nthe record of")[0])["id"] == plan[0].id
    assert not list((tmp_path / "records").iterdir()) and not (tmp_path / "claims").exists()


def test_commands_of_several_processes_do_every_run_once(mock_suite, tmp_path):
    """Real processes, real files: eight commands want the same runs."""
    code = (
        "import sys, os, time; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from pathlib import Path; from bench import registry; from bench.execution import sweep\n"
        "registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "from bench.config.plan import RunRequest, make_plan\n"
        "def execute(spec, options):\n"
        "    open(sys.argv[1] + '/did', 'a').write(f'{spec.seed}\\n'); time.sleep(0.01); return mocks.record(spec)\n"
        "sys.modules['bench.execution.single_run'].execute = execute; sweep._POLL_INTERVAL = 0.01\n"
        "plan = make_plan(RunRequest(sys.argv[3], ['lora'], ['ave'], range(40)))\n"
        "from bench.config.run_options import RunOptions\n"
        "found = list(sweep.sweep(plan, Path(sys.argv[1]), RunOptions())); assert len(found) == 40"
    )
    stand_in = "import sys, types\n"  # torch is not needed
    stand_in += "sys.modules['bench.execution.single_run'] = types.ModuleType('bench.execution.single_run')\n"
    stand_in += "import bench.execution; bench.execution.single_run = sys.modules['bench.execution.single_run']\n"
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(mock_suite)]
    started = [subprocess.Popen([sys.executable, "-c", stand_in + code, *arguments]) for _ in range(8)]
    assert [process.wait(60) for process in started] == [0] * 8
    assert sorted(map(int, (tmp_path / "did").read_text().split())) == list(range(40))
    assert len(store.read_all(tmp_path)) == 40
    assert not [path for path in (tmp_path / "records").iterdir() if path.suffix != ".json"]


def test_a_run_that_a_signal_ends_has_failed(mock_suite, plan, tmp_path, monkeypatch, capsys):
    from bench import cli

    def asked_to_end(spec, options):
        if spec.seed == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return mocks.record(spec)

    monkeypatch.setattr("bench.execution.single_run.execute", asked_to_end)
    before = signal.getsignal(signal.SIGTERM)
    arguments = ["--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave", "--seeds", "0,1,2"]
    try:
        assert cli.main(["run", *arguments, "--results", str(tmp_path)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    by_seed = {record.spec.seed: record for record in store.read_all(tmp_path)}
    assert sorted(by_seed) == [0, 1] and by_seed[0].status == "ok"
    assert by_seed[1].reason == "stopped by signal 15, Terminated"
    output = capsys.readouterr().err
    assert "1 of 3 runs failed (ave lora seed 1)" in output and "stopped: 1 of 3 runs finished" in output
    monkeypatch.setattr("bench.execution.single_run.execute", lambda spec, options: mocks.record(spec))
    assert cli.main(["run", *arguments, "--results", str(tmp_path), "--retry-failed"]) == 0
    assert {record.status for record in store.read_all(tmp_path)} == {"ok"}


def test_processes_of_a_launcher_stop_when_one_of_them_fails(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(
        "bench.execution.single_run.execute",
        lambda spec, options: mocks.failed(spec) if spec.seed else mocks.record(spec),
    )
    broadcasts = ((spec, True) for spec in plan)  # by the main process
    monkeypatch.setattr("bench.system.distributed.broadcast", lambda _: next(broadcasts))
    monkeypatch.setattr("bench.system.distributed.connect", lambda _: None)
    with pytest.raises(BenchError, match="failed in a process that the others wait for"):
        list(sweep(plan, tmp_path, RunOptions()))
    (record,) = store.read_all(tmp_path)
    assert record.spec.seed == 1, "what went well the main process writes"


def test_jobs_are_refused_with_a_launcher(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BenchError, match="--jobs 2 cannot run in the 2 processes"):
        list(sweep(plan, tmp_path, replace(RunOptions()), LocalExecutor(2)))
