"""Made-up runs of `on_ray` on a real Ray cluster of four nodes of this machine, one of which is killed."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import on_ray
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.errors import Terminated, UsageError
from bench.execution import process_pool, ray_runs
from bench.execution.ray_executor import RayExecutor
from bench.execution.sweep import sweep
from bench.records import store

pytest.importorskip("ray", reason='pip install "ray[client]"')

NODES = 4
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[object]]:
    """The nodes of a cluster that this process is connected to, each with a CPU; the last one is to be killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or Ray leaves a token in the home folder
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(Path(on_ray.__file__).parent), os.environ.get("PYTHONPATH", "")])
        )
        import ray
        from ray.cluster_utils import Cluster

        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
        local = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": soon})
        added = [local.add_node(wait=False, **NODE) for _ in range(NODES - 1)]
        local.wait_for_nodes()
        ray.init(local.address, logging_level=logging.ERROR, log_to_driver=False)
        spread = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(on_ray.woken)
        ray.get([spread.remote() for _ in range(NODES)])  # starts a worker on each node
        yield [local, added]
        ray.shutdown()
        local.shutdown()


@pytest.fixture
def runs(nodes, mock_suite, tmp_path, monkeypatch):
    """Begins made-up runs of so many seeds on the cluster; yields their records."""

    def begin(execute, count, cluster=RayExecutor(), options=None):  # noqa: B008 - it is frozen
        monkeypatch.setattr(process_pool, "execute_run", execute)
        monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
        plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(count)))
        return sweep(plan, tmp_path / "out", options or RunOptions(tmp_path), cluster)

    return begin


def left(folder: Path) -> set[int]:
    return {int(path.name.partition("-")[0]) for path in folder.iterdir()} if folder.is_dir() else set()


def test_a_run_that_raises_is_a_failed_record_and_the_others_go_on(runs, tmp_path):
    (tmp_path / "raises").mkdir()
    (tmp_path / "raises" / "3").write_text("")
    records = {record.spec.seed: record for record in runs(on_ray.slept, 2 * NODES)}
    assert {seed for seed, record in records.items() if record.status == "failed"} == {3}
    assert records[3].reason == "ZeroDivisionError: a mistake in the code"
    assert "on_ray.py" in records[3].traceback
    assert {record.environment.jobs for record in records.values() if record.environment} == {1}
    assert {record.environment.threads for record in records.values() if record.environment} == {1}


def test_a_run_whose_process_dies_is_a_failed_record_too(runs, monkeypatch):
    monkeypatch.setattr(ray_runs, "_RETRIES", 0)
    records = {record.spec.seed: record for record in runs(on_ray.killed, 3)}
    assert [records[seed].status for seed in range(3)] == ["failed", "ok", "ok"]
    assert records[0].reason.startswith("its worker on the Ray cluster was lost")


def test_a_usage_error_ends_the_sweep_with_all_its_mistakes(runs, tmp_path):
    with pytest.raises(UsageError) as caught:
        list(runs(on_ray.device_missing, 40))
    assert caught.value.problems == ["one mistake", "and another"]
    assert not store.read_all(tmp_path / "out")


def test_runs_in_flight_are_cancelled_when_the_generator_is_closed(runs, tmp_path, monkeypatch):
    def interrupted(node, need):
        if left(tmp_path / "begun"):
            raise KeyboardInterrupt
        return 1

    monkeypatch.setattr(ray_runs, "_POLL_INTERVAL", 0.1)
    monkeypatch.setattr(ray_runs, "_GRACE_PERIOD", 50.0)  # a machine that does other tests too may be slow
    monkeypatch.setattr(ray_runs, "places", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(runs(on_ray.lingering, 40))
    end = time.monotonic() + 50
    while left(tmp_path / "tidied") != left(tmp_path / "begun") and time.monotonic() < end:
        time.sleep(0.05)
    assert left(tmp_path / "tidied") == left(tmp_path / "begun")
    assert 0 < len(left(tmp_path / "begun")) < 40


def test_a_signal_leaves_failed_records_of_runs_in_progress(runs, tmp_path):
    def end(*_):
        raise Terminated("signal 10")

    before = signal.signal(signal.SIGUSR1, end)

    def ask() -> None:
        while len(left(tmp_path / "begun")) < NODES:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        with pytest.raises(Terminated):
            list(runs(on_ray.lingering, 40))
    finally:
        asking.join(1.0)
        signal.signal(signal.SIGUSR1, before)
    records = {record.spec.seed: record for record in store.read_all(tmp_path / "out")}
    assert records.keys() == left(tmp_path / "begun"), "those that waited for a place have no record"
    assert {(record.status, record.reason) for record in records.values()} == {("failed", "stopped by signal 10")}
    assert not list((tmp_path / "out").glob("claims/*.json"))


def test_four_nodes_do_four_times_as_many_at_a_time_as_one(runs, tmp_path, monkeypatch):
    def most_at_a_time(cluster, count):
        options = RunOptions(tmp_path / f"{count}")
        options.data_root.mkdir()
        records = list(runs(on_ray.slept, count, options=options, cluster=cluster))
        written = {event: (options.data_root / event).iterdir() for event in ("begun", "ended")}
        changes = [
            (file.stat().st_mtime_ns, +1 if event == "begun" else -1) for event in written for file in written[event]
        ]
        at_once = itertools.accumulate(change for _, change in sorted(changes))
        return max(at_once), {record.environment.device for record in records}

    every_node = ray_runs.places
    node_id = __import__("ray").get_runtime_context().get_node_id()
    with monkeypatch.context() as patch:  # no run waits for a place, and one node alone has any
        patch.setattr(ray_runs, "_QUEUED", 0)
        patch.setattr(ray_runs, "places", lambda node, need: every_node(node, need) * (node["NodeID"] == node_id))
        of_one, _ = most_at_a_time(RayExecutor(), 6)
    of_four, used = most_at_a_time(RayExecutor(), 6 + 8 * NODES)
    assert len(used) == NODES
    assert of_four >= 3 * of_one > 0


def test_64_runs_and_a_node_killed_half_way(runs, nodes, tmp_path):
    local, added = nodes
    records = []
    for record in runs(on_ray.dozed, 64):
        records.append(record)
        if len(records) == 32:
            local.remove_node(added.pop(), allow_graceful=False)
    assert {record.spec.seed for record in records} == set(range(64)) and len(records) == 64
    assert {record.status for record in records} == {"ok"}
    names = [path.name for path in (tmp_path / "out" / "records").iterdir()]
    assert len(names) == 64 and all(name.endswith(".json") for name in names), "nothing partial, none twice"
    assert {r.id: r for r in store.read_all(tmp_path / "out")} == {r.id: r for r in records}
    ended = [path.name.partition("-")[0] for path in (tmp_path / "ended").iterdir()]
    assert len(ended) <= 64 + 1, "none that was not lost was done again"
    assert len({record.environment.device for record in records[40:]}) == NODES - 1
