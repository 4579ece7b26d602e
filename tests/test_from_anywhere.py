"""`pytest` as people and editors run it: the script, in any folder, with any file or folder of tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sys.executable).with_name("pytest")
SOME = (
    "tests/bench/cli/test_cli_status.py",
    "tests/bench/report/test_grouping.py",
    "tests/datasets/test_refer_pickle.py",
)


@pytest.mark.skipif(not SCRIPT.exists(), reason="pytest is not installed beside this Python")
@pytest.mark.parametrize("folder", ["/", "tests", "tests/bench"])
def test_tests_are_found_with_what_they_import(folder, tmp_path):
    directory = tmp_path if folder == "/" else CHECKOUT / folder
    files = [str(CHECKOUT / name) for name in SOME] if folder == "/" else _below(directory)
    command = [str(SCRIPT), "--collect-only", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert all(f"{Path(name).name}::test_" in done.stdout for name in files)


def _below(folder: Path) -> list[str]:
    files = [CHECKOUT / name for name in SOME]
    return [str(file.relative_to(folder)) for file in files if file.is_relative_to(folder)]
