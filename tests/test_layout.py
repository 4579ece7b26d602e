"""The layout of the house: few modules at the top, files that one can hold in one's head, no import upwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AT_THE_TOP = {"__init__", "__main__", "api", "errors", "files", "progress", "registry"}
LINES = 400


def test_few_modules_lie_at_the_top():
    assert {path.stem for path in (ROOT / "bench").glob("*.py")} == AT_THE_TOP


def test_files_fit_into_the_head():
    files = [path for folder in ("bench", "methods", "datasets") for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in files if path.read_text().count("\n") > LINES] == []


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """The packages in their places, as `make lint` shows them to import-linter."""
    folder = tmp_path_factory.mktemp("house")
    ignored = shutil.ignore_patterns("__pycache__", "weights", "shapes")
    shutil.copytree(ROOT / "bench", folder / "bench", ignore=ignored)
    for name in ("methods", "datasets"):
        shutil.copytree(ROOT / name, folder / "bench" / name, ignore=ignored)
    return folder


def lint(house):
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"]
    environ = os.environ | {"PYTHONPATH": str(house)}
    return subprocess.run(command, cwd=house, env=environ, capture_output=True, text=True, check=False)


def test_no_module_imports_one_of_a_floor_above_it(house):
    done = lint(house)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "upwards"),
    [
        ("records/store.py", "bench.report.leaderboard"),
        ("streams/base.py", "bench.tasks.base"),
        ("datasets/ave.py", "bench.streams.base"),
        ("files.py", "bench.registry"),
    ],
)
def test_an_import_upwards_is_found(house, module, upwards):
    path = house / "bench" / module
    before = path.read_text()
    try:
        path.write_text(f"{before}\n\ndef planted() -> None:\n    import {upwards}\n")
        done = lint(house)
    finally:
        path.write_text(before)
    assert done.returncode == 1 and upwards in done.stdout
