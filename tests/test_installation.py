"""What is installed is found in a working folder that holds folders of the same names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCES = ("bench", "methods", "datasets", "packaging", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
HOOK = "import sys; sys.path.insert(0, 'packaging'); import backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"
SCRIPT = "import sys; from {0} import {1}; sys.exit({1}())\n"  # as pip writes it


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what is built."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / name, copy)
    (copy / "results" / "mini").mkdir(parents=True)
    for path in (CHECKOUT / "results" / "mini").glob("*.*"):
        shutil.copy(path, copy / "results" / "mini")
    return copy


def built(source: Path, hook: str, out: Path) -> Path:
    """What a hook of the build backend has made."""
    pytest.importorskip("setuptools")
    command = [sys.executable, "-c", HOOK, hook, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=["build_editable", "build_wheel"])
def python(request, source, tmp_path_factory) -> Path:
    """The Python of an environment with an installation, editable or regular, and the packages of this one."""
    place = tmp_path_factory.mktemp(request.param)
    venv.create(place / "env", symlinks=os.name != "nt")
    binaries = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    (site,) = (place / "env").rglob("site-packages")
    with ZipFile(built(source, request.param, place)) as wheel:
        wheel.extractall(site)
    (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    entry_points = ConfigParser(delimiters="=")
    entry_points.read(next(site.glob("*.dist-info")) / "entry_points.txt")
    for name, target in entry_points["console_scripts"].items():
        (binaries / f"{name}-script").write_text(SCRIPT.format(*target.split(":")))
    return binaries / "python"


@pytest.fixture
def crowded(tmp_path) -> Path:
    """A working folder with folders that are called as our packages are."""
    for name in ("bench/cli", "datasets", "methods"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bench" / "notes.txt").write_text("results of a benchmark")
    return tmp_path


def output_of(directory: Path, *command: str | Path) -> str:
    environ = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(directory / "cache")}
    environ.pop("PYTHONPATH", None)
    done = subprocess.run(
        list(map(str, command)), cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_start_where_a_folder_is_called_bench(python, crowded):
    assert "cola-adalora" in output_of(crowded, python, "-m", "bench", "list", "methods")
    for script in ("bench-script", "crossmodal-bench-script"):
        assert "refcocog" in output_of(crowded, python, python.with_name(script), "list", "tasks")
    code = "import bench, bench.datasets.ave, bench.methods.lora; print(len(bench.__path__), bench.__spec__.origin)"
    assert output_of(crowded, python, "-c", code).startswith("1 ")


SHIPPED = """
from bench.check.baseline import read
from bench.config.shipped import baseline_path, tuned_files, tuned_path
from bench.config.tuned_settings import read_tuned
from pathlib import Path

tuned = [read_tuned(tuned_path(name)) for name in ("mini", "mini-cola-size")]
print(*sorted(tuned_files()), tuned[0].tuning.suite, len(tuned[1].values))
path = baseline_path(Path("results/mini/baseline.json"))
print(path, read(path).suite)
"""


def test_tuned_settings_and_the_baseline_are_part_of_the_installation(python, crowded):
    tuned, baseline = output_of(crowded, python, "-c", SHIPPED).splitlines()
    assert tuned == "mini mini-cola-size mini-together mini-together-cola-size mini 15"
    path, suite = baseline.split()
    assert suite == "check" and Path(path).is_file() and not path.startswith(str(crowded))


WORKER = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from bench.errors import did_you_mean

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        print(*pool.map(did_you_mean, ["lorra", "coala"], [["lora", "cola"]] * 2))
"""


def test_worker_processes_start_there_too(python, crowded):
    (crowded / "script.py").write_text(WORKER)
    output = output_of(crowded, python, "script.py")
    assert "did you mean lora?" in output and "did you mean cola?" in output


def test_the_source_distribution_can_be_built_from(source, tmp_path):
    with tarfile.open(built(source, "build_sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "packaging/backend.py", "methods/cola.py", "datasets/ave.py"} <= names
    assert {"results/mini/tuned.toml", "results/mini/baseline.json"} <= names
