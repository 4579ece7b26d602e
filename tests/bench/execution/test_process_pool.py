"""Runs in several processes: made-up ones of `pooled`, and two real ones."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pooled
import pytest
import torch
from alike import alike

import bench
from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.errors import BenchError, DataError, UsageError
from bench.execution import process_pool
from bench.execution.local_executor import LocalExecutor
from bench.execution.sweep import sweep
from bench.records import schema, store


@pytest.fixture
def runs(mock_suite, tmp_path, monkeypatch):
    """Does made-up runs of seeds 0, 1, ... two at a time: yields their records."""

    def begin(execute, seeds):
        monkeypatch.setattr(process_pool, "execute_run", execute)
        monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
        plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(seeds)))
        return sweep(plan, tmp_path / "out", RunOptions(tmp_path), LocalExecutor(2))

    yield begin
    assert not multiprocessing.active_children()


def begun(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir() if path.name.isdecimal()}


def seeds(records: list[schema.Record]) -> set[int]:
    return {record.spec.seed for record in records}


def test_two_at_a_time_in_two_processes_that_share_the_threads(runs, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    records = list(runs(pooled.met, 4))
    assert seeds(records[:2]) == {0, 1} and seeds(records[2:]) == {2, 3}, (
        "never more than two, in the order of the plan"
    )
    assert len({record.environment.device for record in records}) == 2
    assert str(os.getpid()) not in {record.environment.device for record in records}
    assert {record.environment.threads for record in records} == {3}
    assert {r.id: r for r in store.read_all(tmp_path / "out")} == {r.id: r for r in records}
    err = capfd.readouterr().err
    assert sorted(err.splitlines()) == [f"warned by {seed}" for seed in range(4)]


def test_a_worker_logs_at_its_parents_level(runs, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bench"), "level", logging.DEBUG)
    list(runs(pooled.met, 2))
    assert "told by 1" in capfd.readouterr().err


def test_missing_data_ends_the_sweep_after_the_runs_in_progress(runs, tmp_path):
    records = []
    with pytest.raises(DataError, match=r"^x/y.wav of sample y is missing$"):
        records += runs(pooled.data_missing, 4)
    assert seeds(store.read_all(tmp_path / "out")) == {1}
    assert begun(tmp_path) == {0, 1}


@pytest.fixture
def limited(mock_suite, tmp_path, monkeypatch):
    """Does two made-up runs that linger, within limits."""

    def begin(execute, **limits):
        monkeypatch.setattr(process_pool, "execute_run", execute)
        monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
        plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(2)))
        return {r.spec.seed: r for r in sweep(plan, tmp_path / "out", RunOptions(tmp_path, **limits))}

    return begin


def test_a_run_over_its_time_has_failed_and_the_others_go_on(limited):
    records = limited(pooled.linger, time_limit=1.0)
    assert records[0].status == "ok" and records[1].status == "failed"
    assert re.fullmatch(r"took \d+ s, over its limit of 1 s", records[1].reason)


def test_a_run_over_its_memory_has_failed(limited):
    records = limited(pooled.hoard, memory_limit=600_000_000)
    assert records[0].status == "ok" and "over its limit of 0.60 GB" in records[1].reason


def test_every_mistake_of_a_usage_error_is_returned(runs):
    with pytest.raises(UsageError) as caught:
        list(runs(pooled.device_missing, 2))
    assert caught.value.problems == ["one mistake", "and another"]


def test_a_run_whose_process_dies_is_recorded_as_failed_and_the_others_go_on(runs, tmp_path, capfd):
    records = {record.spec.seed: record for record in runs(pooled.killed, 5)}
    assert [records[seed].status for seed in range(5)] == ["failed", "ok", "failed", "ok", "ok"]
    assert records[0].reason == (
        "out of memory, as it seems: its worker process ended by signal 9, Killed; fewer --jobs need less, and "
        "a smaller --set train.micro_batch=N or train.gradient_checkpointing=true needs less"
    )
    assert "ended with exit code 1" in records[2].reason
    assert "ZeroDivisionError: a mistake in the code" in capfd.readouterr().err
    assert {r.id: r for r in store.read_all(tmp_path / "out")} == {r.id: r for r in records.values()}


def test_no_process_remains_when_the_generator_is_closed(runs):
    under_way = runs(pooled.linger, 3)
    assert next(under_way).spec.seed == 0
    start = time.monotonic()
    under_way.close()
    assert not multiprocessing.active_children()
    assert time.monotonic() - start < 10


def test_workers_that_do_not_start_are_reported(runs, monkeypatch):
    nowhere = ModuleType("nowhere")  # workers cannot import it
    exec("def execute(spec, options, threads): ...", vars(nowhere))
    monkeypatch.setitem(sys.modules, "nowhere", nowhere)
    with pytest.raises(BenchError, match="a worker process could not be started"):
        list(runs(nowhere.execute, 2))


@pytest.fixture
def command(mock_suite, tmp_path):
    """Starts `bench run --jobs 2` with made-up runs in a process of its own, as from a terminal of its own."""

    def start(seeds: str) -> subprocess.Popen[str]:
        arguments = ["run", "--methods", "lora", "--tasks", "ave", "--seeds", seeds, "--suite", str(mock_suite)]
        options = ["--results", str(tmp_path / "out"), "--data-root", str(tmp_path), "--jobs", "2"]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        return subprocess.Popen([sys.executable, pooled.__file__, *arguments, *options], **piped)

    return start


def test_a_successful_command_prints_no_errors(command):
    with command("0") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == ""
    assert "[1/1] ave lora seed 0: accuracy 70.00" in out


@pytest.mark.skipif(os.name == "nt", reason="^C and kill are others there")
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_command(command, tmp_path, ended_by):
    """^C reaches all processes of a terminal, and says what it says without --jobs; a kill reaches the parent only."""
    with command("0,1,2") as process:
        while begun(tmp_path) != {0, 1, 2} or not any((tmp_path / "out/records").glob("*.json")):
            assert process.poll() is None
            time.sleep(0.02)
        if ended_by == signal.SIGINT:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.kill()
        out, err = process.communicate(timeout=40)  # the pipes end with the last process that holds them
    assert seeds(store.read_all(tmp_path / "out")) == {0}
    assert "[1/3] ave lora seed 0: accuracy 70.00" in out
    if ended_by == signal.SIGINT:
        assert process.returncode == 1
        assert err == "stopped: 1 of 3 runs finished; the same command continues\n"


@pytest.mark.parametrize(
    "error", [BenchError("x"), DataError("x\ny"), UsageError("one"), UsageError(["one", "and\nanother"])]
)
def test_errors_can_be_sent_between_processes(error):
    receiver, sender = multiprocessing.Pipe()
    sender.send(error)
    back = receiver.recv()
    assert type(back) is type(error) and str(back) == str(error) and vars(back) == vars(error)


@pytest.mark.parametrize(("jobs", "all_threads", "expected"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (9, 8, 1), (2, 1, 1)])
def test_threads_are_shared_out(monkeypatch, jobs, all_threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: all_threads)
    assert process_pool.share_of_threads(jobs) == expected


def test_a_worker_counts_its_share_once_if_the_parent_has_no_torch(monkeypatch, mock_suite):
    """Importing torch in the parent would keep the workers waiting for seconds."""
    used = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1] if used else 8)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(process_pool, "_jobs", 2)
    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=lambda spec, options: spec))
    process_pool._share_of_fresh_threads.cache_clear()
    (plan,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    for threads in (None, None, 3):
        process_pool.execute_run(plan, RunOptions(), threads)
    process_pool._share_of_fresh_threads.cache_clear()
    assert used == [4, 4, 3]


def test_the_parent_generates_the_data_of_a_task_once_in_each_world(monkeypatch, tmp_path):
    requests = []
    monkeypatch.setattr(
        "bench.data.release.build.ensure",
        lambda root, *arguments, origin, progress: requests.append((root, *arguments)) or (root, None),
    )
    plan = make_plan(RunRequest("mini", ["lora", "cola"], ["ave", "avs"], [0, 1], worlds=[5, 6]))
    process_pool.make_data(plan, RunOptions(tmp_path))
    assert requests == [(tmp_path, task, world) for task in ("ave", "avs") for world in (5, 6)]

    def full(root, *arguments, origin, progress):
        raise OSError("no space left on device")

    monkeypatch.setattr("bench.data.release.build.ensure", full)
    process_pool.make_data(plan, RunOptions(tmp_path))  # left to the runs to tell


def test_the_parent_makes_each_kind_of_data_once(monkeypatch):
    """Controls read the data of the usual runs; spoken names are other data than calls."""
    datasets = []
    monkeypatch.setattr("bench.data.release.synthesize", lambda task, data, root: datasets.append((task.layout, data)))
    composed = ["data.source=composed", "data.version=4"]
    plan = [
        spec
        for changes in ([], ["data.sounds=names"], ["data.streams=vision"])
        for spec in make_plan(RunRequest("mini", ["lora", "cola"], ["avs"], [0, 1], [*composed, *changes]))
    ]
    process_pool.make_data(
        [*plan, *make_plan(RunRequest("mini", ["lora"], ["ave"], [0], ["data.source=official"]))], RunOptions()
    )
    assert [(layout, data.get("sounds", "calls")) for layout, data in datasets] == [("avs", "calls"), ("avs", "names")]


def test_real_runs_score_the_same(options, tmp_path):
    from bench.execution.single_run import execute

    threads = torch.get_num_threads()
    plan = make_plan(RunRequest("mini", ["lora", "cola"], ["ave"], [0], ["train.batch_size=2", "ave.epochs=1"]))
    torch.set_num_threads(1)
    try:
        serial = {spec.id: execute(spec, options) for spec in plan}
        records = list(sweep(plan, tmp_path, replace(options, results=tmp_path), LocalExecutor(2)))
    finally:
        torch.set_num_threads(threads)
    assert len(records) == 2
    for record in records:
        assert record.status == "ok", record.traceback
        assert record.environment == replace(serial[record.id].environment, jobs=2) and record.environment.threads == 1
        fields, expected = asdict(record), asdict(serial[record.id])
        for part in ("spec", "scores", "parameters", "data"):
            assert fields[part] == alike(expected[part])
    assert {path.stem for path in (tmp_path / "predictions").iterdir()} == {
        path.stem for path in (tmp_path / "records").glob("*.json")
    }


def test_the_api_takes_jobs(mock_suite, tmp_path, monkeypatch):
    request = {"suite": mock_suite, "results": tmp_path / "out", "data_root": tmp_path}
    monkeypatch.setattr(process_pool, "execute_run", pooled.noted)
    monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
    records = bench.run("lora", "ave", seeds=[1, 0], jobs=2, **request)
    assert [record.spec.seed for record in records] == [1, 0]
    with pytest.raises(UsageError, match="whole number from 1 to 1024, not 0"):
        bench.run("lora", "ave", jobs=0, **request)
    with pytest.raises(UsageError, match="do not know the class Own"):
        bench.run(["lora", type("Own", (bench.Method,), {})], "ave", jobs=2, **request)
