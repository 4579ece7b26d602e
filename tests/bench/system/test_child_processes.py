"""Child processes end with their parent, and a script without a guard is told so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import parents
import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are others there")


@pytest.mark.parametrize(
    ("activity", "ended_by", "how"),
    [
        ("generate", signal.SIGKILL, []),
        ("generate", signal.SIGKILL, ["watch"]),
        ("generate", signal.SIGHUP, []),
        ("decode", signal.SIGKILL, []),
        ("decode", signal.SIGKILL, ["watch"]),
        ("jobs", signal.SIGKILL, []),
    ],
)
def test_children_end_with_their_parent_however_it_ends(tmp_path, activity, ended_by, how):
    command = [sys.executable, parents.__file__, activity, str(tmp_path), *how]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        end = time.monotonic() + 60
        while len([*tmp_path.iterdir()]) < 2:
            assert parent.poll() is None and time.monotonic() < end, "no worker has begun"
            time.sleep(0.02)
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.send_signal(ended_by)
        parent.wait(timeout=10)
        _, alive = psutil.wait_procs(children, timeout=3)
        left = [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
        for child in left:
            child.kill()
        assert left == []


SCRIPT = """
import bench
from bench.datasets.mini import write
from dataclasses import replace

write.AVE = replace(write.AVE, counts={"train": 6, "val": 2, "test": 3})
bench.run("head", "ave", data_root="DATA", results="RESULTS", device="cpu", jobs=JOBS)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_script_without_a_guard_is_told_so(tmp_path, jobs):
    """Each worker that is to generate data imports the script, and would begin all of it again."""
    script = tmp_path / "script.py"
    for name, value in {"DATA": tmp_path / "data", "RESULTS": tmp_path / "out", "JOBS": jobs}.items():
        script.write_text((script.read_text() if script.exists() else SCRIPT).replace(name, str(value)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert "UsageError: a worker process could not be started" in done.stderr
    assert 'put the code that runs below `if __name__ == "__main__":`' in done.stderr
    assert not [*tmp_path.glob("out/claims/*"), *tmp_path.glob("data/*/.*")]


INTERRUPTED = """
import os, signal, sys
from bench.system import child_processes

def work():
    child_processes.begin()
    print("worked", flush=True)

if __name__ == "__main__":
    context = child_processes.SPAWN if sys.argv[1] == "spawn" else child_processes.fork_context()
    process = context.Process(target=work)
    process.start()
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGHUP)
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_interrupting_a_child_that_is_just_starting_disturbs_nothing(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, script, method]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "worked\n", "")
