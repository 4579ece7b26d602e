"""The checkout's `datasets/` does not hide Hugging Face's `datasets`, wherever Python runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def other_datasets(tmp_path) -> Path:
    """A folder with a package of the same name as Hugging Face's."""
    package = tmp_path / "datasets"
    package.mkdir()
    (package / "__init__.py").write_text("from datasets.part import answer\n")
    (package / "part.py").write_text("answer = 42\n")
    return tmp_path


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in the checkout's folder, with only `path` and this project installed."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False
    )


def test_the_other_package_is_imported_in_the_checkout(other_datasets):
    code = "import datasets, sys; print(datasets.answer, datasets.__file__, sys.path[0] == '')"
    process = python(code, other_datasets)
    assert process.stdout.split() == ["42", str(other_datasets / "datasets" / "__init__.py"), "True"], process.stderr


def test_its_modules_are_found_too(other_datasets):
    assert python("from datasets.part import answer; print(answer)", other_datasets).stdout == "42\n"


def test_with_the_checkout_on_the_path_twice(other_datasets):
    process = python("import datasets; print(datasets.answer)", CHECKOUT, other_datasets)
    assert process.stdout == "42\n", process.stderr


def test_the_package_is_not_importable_unless_installed():
    code = "import sys\ntry: import datasets\nexcept ModuleNotFoundError as e: print(e, 'datasets' in sys.modules)"
    process = python(code)
    assert process.stdout == "No module named 'datasets' False\n", process.stderr


def test_our_own_package_is_imported_beside_it(other_datasets, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(other_datasets))
    code = "import bench.datasets, datasets; print(bench.datasets.__file__, datasets.answer)"
    process = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert process.stdout.split() == [str(CHECKOUT / "datasets" / "__init__.py"), "42"], process.stderr


def test_python_m_bench_drops_the_checkout_from_the_path(other_datasets):
    code = f"""
import runpy, sys
from importlib.util import find_spec
sys.path[0], sys.argv = {str(CHECKOUT)!r}, ["bench", "--version"]  # as `python -m bench --version` has it
try:
    runpy.run_module("bench", run_name="__main__")
except SystemExit:
    print(find_spec("datasets").origin)
"""
    environ = os.environ | {"PYTHONPATH": str(other_datasets)}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False
    )
    assert process.stdout.split()[-1] == str(other_datasets / "datasets" / "__init__.py"), process.stderr
