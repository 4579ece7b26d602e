"""How many CPUs a process may use: affinity, made-up cgroups, shares; and what follows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pooled
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.data import loader
from bench.datasets import build
from bench.execution import process_pool
from bench.execution.local_executor import LocalExecutor
from bench.execution.sweep import sweep
from bench.pretraining import pretrain
from bench.system import cpus

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
HYBRID = V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified") + "\n" + V1
OTHER_MOUNTS = "22 27 0:21 / /proc rw,relatime - proc proc rw\n27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard"


@pytest.fixture
def machine(tmp_path):
    """Make a process of that cgroup, those mounts, and those files of cgroups; returns what `cpus` takes."""

    def make(cgroup: str, mount: str, files: dict[str, str]) -> dict[str, Path]:
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text(f"{cgroup}\n")
        (proc / "mountinfo").write_text(f"{OTHER_MOUNTS}\n{mount}\n")
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return {"proc": proc, "root": tmp_path}

    return make


def v1(folder: str, quota: int) -> dict[str, str]:
    folder = f"cpu,cpuacct/{folder}"
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": "50000"}


@pytest.mark.parametrize(
    ("cgroup", "mount", "files", "granted"),
    [
        ("0::/", V2, {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", V2, {"cpu.max": "max 100000"}, None),
        ("0::/", V2, {}, None),
        ("0::/a/b", V2, {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b", V2, {"a/b/cpu.max": "100000 100000", "a/cpu.max": "300000 100000"}, 1),
        ("0::/a/b", V2, {"a/b/cpu.max": "900000 100000", "a/cpu.max": "50000 100000"}, 0.5),
        ("0::/a", V2, {"b/cpu.max": "100000 100000"}, None),
        ("0::/../a", V2, {"cpu.max": "200000 100000"}, 2),
        ("0::/docker/x/a", V2.replace("0:28 /", "0:28 /docker/x"), {"a/cpu.max": "200000 100000"}, 2),
        ("0::/docker/x", V2.replace("0:28 /", "0:28 /docker/x"), {"cpu.max": "200000 100000"}, 2),
        ("0::/", V2, {"cpu.max": "what is this"}, None),
        ("what is this", V2, {"cpu.max": "100000 100000"}, None),
        ("0::/", "nor this", {"cpu.max": "100000 100000"}, None),
        ("4:cpu,cpuacct:/a\n0::/", V1, v1("a", 100_000), 2),
        ("4:cpu,cpuacct:/a/b", V1, v1("a/b", -1) | v1("a", 25_000) | v1("", -1), 0.5),
        ("4:cpu,cpuacct:/a", V1, v1("a", -1), None),
        ("4:cpu,cpuacct:/docker/x", V1.replace("0:29 /", "0:29 /docker/x"), v1("", 75_000), 1.5),
        ("5:cpuset:/a\n4:memory:/a", V1, v1("a", 100_000), None),
        ("4:cpu,cpuacct:/a\n0::/b", HYBRID, v1("a", 150_000) | {"unified/b/cpu.max": "100000 100000"}, 1),
    ],
)
def test_the_least_limit_of_the_cgroups_counts(machine, cgroup, mount, files, granted):
    assert cpus.cgroup_limit(**machine(cgroup, mount, files)) == granted


@pytest.mark.parametrize(
    ("quota", "many", "expected"), [(150, 8, 2), (100, 8, 1), (10, 8, 1), (1600, 8, 8), (150, 1, 1)]
)
def test_limits_are_rounded_up_and_never_give_more_than_the_affinity(machine, monkeypatch, quota, many, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(many)), raising=False)
    assert cpus.available_cpus(**machine("0::/", V2, {"cpu.max": f"{quota}000 100000"})) == expected


def test_without_affinity_or_cgroups_it_is_the_machines_count(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpus.available_cpus(tmp_path / "none", tmp_path) == 6


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda pid: ())(0)) < 2, reason="needs two CPUs")
def test_a_process_on_one_cpu_has_one_thread_and_one_decoding_worker():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import bench, torch, numpy
from bench.data.loader import Decoded, load
print(torch.get_num_threads(), load(Decoded([], []), 1).num_workers)
"""
    environ = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("available", "local", "workers"), [(4, None, 4), (64, None, 8), (1, None, 1), (8, "4", 2), (2, "4", 1)]
)
def test_decoding_workers_follow_the_cpus_when_they_start(monkeypatch, available, local, workers):
    monkeypatch.setattr(loader, "available_cpus", lambda: available)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if local:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    assert loader.load(loader.Decoded([], []), 1).num_workers == workers


@pytest.mark.parametrize("module", [build, pretrain])
def test_generators_start_a_process_for_each_cpu_that_there_is(monkeypatch, module, tmp_path):
    class AskedError(Exception):
        pass

    def refuse(processes):
        raise AskedError(processes)

    monkeypatch.setattr(module, "process_pool", refuse)
    monkeypatch.setattr(module, "available_cpus", lambda: 3)
    with pytest.raises(AskedError, match=r"^3$"):
        if module is build:
            build.build(tmp_path, "ave", 0)
        else:
            pretrain._generate(pretrain.RECIPES["text"], 10)


def test_processes_of_jobs_share_the_cpus(monkeypatch, mock_suite, tmp_path):
    monkeypatch.setattr(process_pool, "execute_run", pooled.counted)
    monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
    monkeypatch.setattr(process_pool.cpus, "available_cpus", lambda: 2)
    plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(2)))
    done = list(sweep(plan, tmp_path / "out", RunOptions(tmp_path), LocalExecutor(2)))
    assert [record.environment.threads for record in done] == [1, 1]
