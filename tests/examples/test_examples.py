"""The examples work as described. `compare.py` is tested with the Python API, `tests/bench/test_api.py`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from example_packages import EXAMPLES, install

from bench import cli
from bench.data import splits
from bench.datasets.build import build, folder
from bench.records import store

FEW = {"train": 4, "val": 1, "test": 2}
WIDTH, INNER, BLOCKS = 64, 256, 4  # of both embedded encoders


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip has installed the example package."""
    return install("bench-bitfit", tmp_path_factory.mktemp("bitfit"))


@pytest.fixture
def cache(tmp_path) -> Path:
    """A cache of a few generated videos."""
    place = folder(tmp_path / "cache", "ave", seed=0)
    place.mkdir(parents=True)
    manifest = build(place, "ave", seed=0, counts=FEW, workers=1)
    (place / "manifest.json").write_text(json.dumps(asdict(manifest)))
    return tmp_path / "cache"


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    splits._cache.clear()


def python(*arguments: str, **environment: str) -> str:
    """Return what a new interpreter prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_an_installed_package_adds_its_method_to_the_list(installed):
    listed = python("-m", "bench", "list", "methods", PYTHONPATH=str(installed))
    assert re.search(r"^bitfit +BitFit: trains only the biases", listed, re.MULTILINE)


def test_its_method_is_run_by_itself_and_with_the_inter_modal_path(installed, cache, tmp_path, monkeypatch, one_thread):
    monkeypatch.syspath_prepend(installed)
    arguments = ["--methods", "bitfit,cola+bitfit", "--tasks", "ave", "--set", "ave.epochs=1", "cola+bitfit.inter_r=2"]
    arguments += ["--data-root", str(cache), "--results", str(tmp_path), "--device", "cpu", "--save-adapters"]
    assert cli.main(["run", *arguments]) == 0
    records = {record.spec.method: record for record in store.read_all(tmp_path)}
    # q, k, v, o, fc2 and two norms; fc1; and outside of the blocks the patches' projection and the final norm.
    biases = 2 * (BLOCKS * (7 * WIDTH + INNER) + 2 * WIDTH)
    assert records["bitfit"].parameters.adapter == records["bitfit"].parameters.active == biases
    r, hidden = 2, WIDTH // 8
    low_rank = 2 * BLOCKS * (4 * r * 2 * WIDTH + 2 * r * (WIDTH + INNER))
    hyper = WIDTH * hidden + 3 * hidden + hidden * r * r + 3 * r * r
    assert records["cola+bitfit"].parameters.adapter == biases + low_rank + 2 * BLOCKS * 6 * (hyper + 1)
    assert all((tmp_path / record.adapter / "method.json").is_file() for record in records.values())


def test_your_own_loop_learns_and_restores_its_adapters():
    *steps, last = python(str(EXAMPLES / "own_loop.py")).splitlines()
    losses = [float(line.split()[-1]) for line in steps]
    assert len(losses) == 10 and losses[-1] < losses[0] / 10
    match = re.fullmatch(r"saved, loaded and merged: the features differ by (\S+) at most", last)
    assert match and float(match[1]) < 1e-4
