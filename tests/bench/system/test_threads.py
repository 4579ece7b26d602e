"""What is set for OpenMP before torch is loaded, and what of the user's stays: each asked of a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.system import threads

SET = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
SHOW = f"import json, os; print(json.dumps({{name: os.environ[name] for name in {SET} if name in os.environ}}))"
MANY_CPUS = "import os; os.cpu_count = lambda: 4096; "


def variables_of(code: str, tmp_path: Path, **users: str) -> dict[str, str]:
    """Variables of a process that does `code`, where the user has set these."""
    environ = {name: value for name, value in os.environ.items() if name not in SET} | users
    command = [sys.executable, "-c", f"{code}\n{SHOW}"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "code",
    [
        "import bench; assert 'torch' not in __import__('sys').modules",
        "from bench.__main__ import main",
        "from bench import run, to_frame",
        "import bench.execution.ray_runs",
        "import torch, bench",  # for processes that it starts
    ],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(code, tmp_path):
    assert variables_of(code, tmp_path) == threads.WAITING


@pytest.mark.parametrize(
    ("users", "defaults"),
    [
        ({"GOMP_SPINCOUNT": "7"}, {"KMP_BLOCKTIME": threads.WAITING["KMP_BLOCKTIME"]}),
        ({"KMP_BLOCKTIME": "7"}, {"GOMP_SPINCOUNT": threads.WAITING["GOMP_SPINCOUNT"]}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {}),
        ({"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "9"}, {}),
        ({"OMP_NUM_THREADS": "3"}, threads.WAITING),
        ({"MKL_NUM_THREADS": "3"}, threads.WAITING),
    ],
)
def test_what_the_user_has_set_stays(users, defaults, tmp_path):
    assert variables_of(f"{MANY_CPUS}import bench", tmp_path, **users).items() >= (users | defaults).items()
    prepared = dict(users)
    threads.prepare(prepared)
    assert prepared == users | defaults


def test_libgomp_was_told_in_time(tmp_path):
    shown = "import bench, torch; print(torch.get_num_threads())"
    environ = {name: value for name, value in os.environ.items() if name not in SET}
    environ |= {"OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", shown], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch brings another OpenMP runtime than GNU's")
    assert f"GOMP_SPINCOUNT = '{threads.WAITING['GOMP_SPINCOUNT']}'" in done.stderr


def test_a_machine_that_is_wholly_there_keeps_the_libraries_own_number_of_threads(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for available, more in ((4, {}), (3, {"OMP_NUM_THREADS": "3"})):
        monkeypatch.setattr(threads, "available_cpus", lambda cpus=available: cpus)
        threads.prepare(environ := {})
        assert environ == threads.WAITING | more


def test_a_program_that_has_torch_already_keeps_its_number_of_threads(tmp_path):
    set_by_program = f"{MANY_CPUS}import torch; torch.set_num_threads(5); import bench; bench.run"
    assert "OMP_NUM_THREADS" not in variables_of(f"{set_by_program}; assert torch.get_num_threads() == 5", tmp_path)


def test_torch_has_the_threads_that_there_are_cpus_for(tmp_path):
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    if cpus is None:
        pytest.skip("this system knows no affinity")
    code = f"{MANY_CPUS}import bench, torch; assert torch.get_num_threads() == int(os.environ['OMP_NUM_THREADS'])"
    assert int(variables_of(code, tmp_path)["OMP_NUM_THREADS"]) <= cpus


@pytest.mark.parametrize("file", ["perf/__init__.py", "tests/conftest.py"])
def test_measurements_and_tests_wait_as_the_harness_does(file, tmp_path):
    path = str(Path(__file__).parents[3] / file)
    code = f"import runpy, sys; runpy.run_path({path!r}); assert 'torch' not in sys.modules"
    assert variables_of(code, tmp_path) == threads.WAITING
