"""A killed run resumes after its last epoch, and ends like an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import torch
from alike import alike

from bench.cli import main
from bench.records import store
from bench.training.checkpoint import Checkpoint, fingerprint

KILLS = int(os.environ.get("KILLS", "1"))  # KILLS=10 kills it ten times
EPOCHS = 4 + 5 * KILLS


def command(release, encoders, results, *more):
    """AdaLoRA has the most state between steps; dropout draws from torch's global generator."""
    streams = [f"{name}.model={encoders[name]}" for name in ("vision", "audio")]
    changed = [*streams, f"ave.epochs={EPOCHS}", "cola-adalora.reduction=2", "cola-adalora.dropout=0.2", *more]
    arguments = ["run", "--suite", "full", "--tasks", "ave", "--methods", "cola-adalora", "--device", "cpu", "--quiet"]
    return [*arguments, "--data-root", str(release("ave")), "--results", str(results), "--set", *changed]


def start(arguments):
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "bench", *arguments], env=environ, stdout=subprocess.DEVNULL)


def wait_for_change(folder, before, process):
    while process.poll() is None and {p: p.stat().st_mtime_ns for p in folder.glob("*.pt")} == before:
        time.sleep(0.005)


def test_a_run_killed_again_and_again_ends_as_one_left_alone(release, encoders, tmp_path):
    assert main(command(release, encoders, tmp_path / "alone")) == 0
    chance = random.Random(0)
    checkpoints = tmp_path / "killed" / "checkpoints"
    for _ in range(KILLS):
        before = {path: path.stat().st_mtime_ns for path in checkpoints.glob("*.pt")}
        process = start(command(release, encoders, tmp_path / "killed"))
        wait_for_change(checkpoints, before, process)  # an epoch more is done
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was too fast to be killed"
    (checkpoint_file,) = checkpoints.glob("*.pt")
    epochs = len(torch.load(checkpoint_file, weights_only=True)["state"]["training"]["curve"])
    assert KILLS <= epochs < EPOCHS
    assert main(command(release, encoders, tmp_path / "killed")) == 0
    (undisturbed,), (killed,) = (store.read_all(tmp_path / name) for name in ("alone", "killed"))
    assert asdict(killed.scores) == alike(undisturbed.scores), "also the losses and scores of every epoch"
    assert (
        killed.parameters == undisturbed.parameters and killed.data == undisturbed.data and killed.id == undisturbed.id
    )
    assert (undisturbed.times.resumed, killed.times.resumed) == (0, epochs)
    assert not list(checkpoints.iterdir()), "nothing is left of it"


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "checkpoints" / "run.pt", "this code")


def test_a_state_comes_back(checkpoint):
    assert checkpoint.load() is None
    checkpoint.save({"step": 3, "best": {"a": torch.arange(3)}, "curve": [{"loss": 0.5}], "scaler": None})
    state = checkpoint.load()
    assert state["step"] == 3 and state["best"]["a"].tolist() == [0, 1, 2] and state["scaler"] is None


def test_a_change_of_code_starts_the_run_again(checkpoint, caplog):
    checkpoint.save({"step": 3})
    assert Checkpoint(checkpoint.path, "other code").load() is None
    assert "the code, the data or a package has changed since" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a checkpoint", b"\x80\x04N."])
def test_an_invalid_checkpoint_starts_the_run_again(checkpoint, content, caplog):
    checkpoint.path.parent.mkdir()
    checkpoint.path.write_bytes(content)
    assert checkpoint.load() is None
    assert str(checkpoint.path) in caplog.text


def test_code_in_a_checkpoint_is_not_run(checkpoint, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    checkpoint.path.parent.mkdir()
    torch.save({"fingerprint": "this code", "state": Evil()}, checkpoint.path)
    assert checkpoint.load() is None and not (tmp_path / "executed").exists()


def test_a_checkpoint_that_cannot_be_written_only_warns(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    Checkpoint(tmp_path / "file" / "run.pt", "this code").save({"step": 1})
    assert "cannot write a checkpoint to" in caplog.text


def test_code_is_identified_by_its_source(tmp_path, monkeypatch):
    before = fingerprint([int], "data")
    assert before == fingerprint([int], "data") != fingerprint([int], "other data")
    (tmp_path / "mine.py").write_text("class Mine:\n    rank = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from mine import Mine

    first = fingerprint([Mine], "data")
    (tmp_path / "mine.py").write_text("class Mine:\n    rank = 2\n")
    assert before != first != fingerprint([Mine], "data")
