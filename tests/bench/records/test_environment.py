from __future__ import annotations

import subprocess

import pytest
import torch

import bench
from bench.records.environment import environment


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout in place of the one that the package lies in."""
    monkeypatch.setattr("bench.records.environment._CHECKOUT", tmp_path)

    def git(*command):
        author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        completed = subprocess.run(["git", *author, *command], cwd=tmp_path, check=True, capture_output=True, text=True)
        return completed.stdout.strip()

    git("init")
    return git


def test_versions_device_and_threads():
    current = environment("cpu", threads=2)
    assert current.versions["crossmodal-bench"] == bench.__version__
    assert "torch" in current.versions
    assert (current.device, current.threads) == ("cpu", 2)


def test_the_environment_contains_what_changes_rounding(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setenv("HOME", "/elsewhere")
    current = environment("cpu", 2, precision="bf16")
    assert current.processor
    assert current.instructions == torch.backends.cpu.get_cpu_capability()
    assert current.precision == "bf16"
    assert current.variables["OPENBLAS_CORETYPE"] == "Haswell"
    assert current.variables["OMP_NUM_THREADS"] == "2"
    assert not {"ATEN_CPU_CAPABILITY", "HOME"} & current.variables.keys(), "nothing but what is set and changes sums"


def test_commit_and_whether_it_is_dirty(checkout, tmp_path):
    assert environment("cpu", 1).commit is None
    checkout("commit", "--allow-empty", "-m", "first")
    clean = environment("cpu", 1)
    assert (clean.commit, clean.dirty) == (checkout("rev-parse", "HEAD"), False)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.json").write_text("")
    assert environment("cpu", 1).dirty is False, "results are no code"
    assert environment("cpu", 1).untracked is False
    (tmp_path / "new.py").write_text("")
    current = environment("cpu", 1)
    assert (current.dirty, current.untracked) == (False, True), "what git does not track is said apart"
    checkout("add", "new.py")
    assert environment("cpu", 1).dirty is True


def test_another_projects_checkout_does_not_count(checkout, tmp_path, monkeypatch):
    checkout("commit", "--allow-empty", "-m", "first")
    installed = tmp_path / ".venv" / "site-packages"
    installed.mkdir(parents=True)
    monkeypatch.setattr("bench.records.environment._CHECKOUT", installed)
    assert (environment("cpu", 1).commit, environment("cpu", 1).dirty) == (None, None)


def test_without_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment("cpu", 1).commit is None
