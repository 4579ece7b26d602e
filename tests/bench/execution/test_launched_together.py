"""A launcher's processes and a command beside them, in one results folder."""

from __future__ import annotations

import os
import subprocess
import sys

import launched

from bench.records import store


def test_a_launcher_beside_a_plain_command_does_other_runs(mock_suite, tmp_path):
    (tmp_path / "done").mkdir()
    arguments = [launched.__file__, str(tmp_path / "out"), str(mock_suite), str(tmp_path / "done"), "12"]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, *arguments], env=environ, timeout=150, check=False).returncode == 0
    processes: dict[str, set[str]] = {}
    for path in (tmp_path / "done").iterdir():
        seed, _, who = path.name.partition("-")
        processes.setdefault(seed, set()).add(who)
    assert len(processes) == len(store.read_all(tmp_path / "out")) == 12
    assert {frozenset(who) for who in processes.values()} == {frozenset("01"), frozenset({launched.ALONE})}
    assert not (tmp_path / "out" / "claims").exists()
