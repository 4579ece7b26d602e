"""The layout of the code: few modules at the top, short files, no import upwards, names that say what a value is."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP_MODULES = {"__init__", "__main__", "api", "errors", "files", "progress", "registry"}
MAX_LINES = 400

MEANINGLESS = """
asked each economise found given heard here its kept knobs made of_each of_method other others ours own said seen tell
tells theirs there told trap turned wanted what where whose
"""
"""Names that do not say what a value is, in any case and with any leading underscores."""

RENAMED = """
BASE Columns Cross Fit KEPT LARGEST MOST Step Tell Turn Without alone board boards difference effective identity idle
lower_frozen made_by tell_nobody together
"""
"""Earlier names of this project that had several meanings; with any leading underscores."""

FOLDERS = ("bench", "methods", "datasets", "tests", "perf", "examples", "results", "simulations")

ALLOWED = {
    ("bench/records/schema.py", "effective"): "a field of records that version 1 wrote",
    ("bench/records/schema.py", "idle"): "a field of records that version 1 wrote",
    ("bench/tuning/search.py", "tell"): "Optuna's name, beside `ask`",
}
"""Exceptions by file and name, each with its reason."""


def test_the_package_has_few_modules_at_its_top():
    assert {path.stem for path in (ROOT / "bench").glob("*.py")} == TOP_MODULES


def source_files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def test_files_are_short():
    assert [path for path in source_files() if path.read_text().count("\n") > MAX_LINES] == []


def bound_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each variable, attribute, parameter, function, class and import alias of a source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.lineno, node.name


def is_meaningless(name: str) -> bool:
    stripped = name.strip("_")
    return stripped.lower() in MEANINGLESS.split() or stripped in RENAMED.split()


def test_names_say_what_a_value_is():
    violations = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in source_files()
        for line, name in [(1, path.stem), *bound_names(path.read_text())]
        if is_meaningless(name) and (path.relative_to(ROOT).as_posix(), name) not in ALLOWED
    ]
    assert violations == [], "name what the value is (a record, a path, scores, ...)"


def test_allowed_names_are_in_use():
    in_use = {(file, name) for file, _ in ALLOWED for _, name in bound_names((ROOT / file).read_text())}
    assert ALLOWED.keys() <= in_use


@pytest.mark.parametrize(
    "source",
    [
        "told = 1",
        "self._found = 1",
        "for its in x: pass",
        "def f(*, whose): pass",
        "def f(*theirs): pass",
        "def _of_method(): pass",
        "class Turn: pass",
        "import x as there",
        "try: pass\nexcept Exception as asked: pass",
        "match x:\n    case [*others]: pass",
        "x = [0 for each in y]",
        "f = lambda what: 0",
        "(seen := 1)",
        "with x as (OWN, y): pass",
        "MOST = 1",
    ],
)
def test_a_meaningless_name_is_found_wherever_it_is_bound(source):
    assert any(is_meaningless(name) for _, name in bound_names(source))


@pytest.mark.parametrize("source", ["most = 1", "step = 1", "x.told", "f(found=1)", "told", "class Steps: pass"])
def test_other_names_are_allowed(source):
    assert not any(is_meaningless(name) for _, name in bound_names(source))


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """The packages in their places, as `make lint` shows them to import-linter."""
    folder = tmp_path_factory.mktemp("packages")
    ignored = shutil.ignore_patterns("__pycache__", "weights", "shapes")
    shutil.copytree(ROOT / "bench", folder / "bench", ignore=ignored)
    for name in ("methods", "datasets"):
        shutil.copytree(ROOT / name, folder / "bench" / name, ignore=ignored)
    return folder


def lint(packages):
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"]
    environ = os.environ | {"PYTHONPATH": str(packages)}
    return subprocess.run(command, cwd=packages, env=environ, capture_output=True, text=True, check=False)


def test_no_module_imports_one_above_it(packages):
    process = lint(packages)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
    ("module", "upwards"),
    [
        ("records/store.py", "bench.report.leaderboard"),
        ("streams/base.py", "bench.tasks.base"),
        ("datasets/ave.py", "bench.streams.base"),
        ("files.py", "bench.registry"),
    ],
)
def test_an_import_upwards_is_found(packages, module, upwards):
    path = packages / "bench" / module
    original = path.read_text()
    try:
        path.write_text(f"{original}\n\ndef planted() -> None:\n    import {upwards}\n")
        process = lint(packages)
    finally:
        path.write_text(original)
    assert process.returncode == 1 and upwards in process.stdout


def test_files_of_tests_that_begin_are_there():
    (names,) = re.findall(r'^LONGEST = """(.*?)"""', (ROOT / "tests/conftest.py").read_text(), re.MULTILINE | re.DOTALL)
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert names.split() and [name for name in names.split() if f"test_{name}.py" not in files] == []
