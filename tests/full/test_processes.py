"""A run in several processes has the results of a run in one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.cli import main
from bench.records import store
from bench.system.distributed import rows


@pytest.mark.parametrize(("samples", "processes"), [(8, 2), (7, 2), (1, 2), (3, 4), (0, 2)])
def test_every_sample_of_a_batch_is_some_process_s_own(samples, processes):
    taken = [list(rows(samples, index, processes)) for index in range(processes)]
    assert [row for process_rows in taken for row in process_rows] == list(range(samples))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bench"]
ACCELERATE = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "bench"]


def launched(launcher, arguments):
    command = [sys.executable, "-m", *launcher, *arguments]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)


def test_two_processes_train_and_score_as_one(release, encoders, tmp_path):
    arguments = ["run", "--suite", "full", "--tasks", "ave", "--methods", "cola-adalora", "--device", "cpu"]
    arguments += ["--data-root", str(release("ave")), "--set", f"vision.model={encoders['vision']}"]
    # Batches of 3 videos are divided unevenly between two processes, one of which splits its part again.
    arguments += [f"audio.model={encoders['audio']}", "cola-adalora.reduction=2", "ave.epochs=2", "ave.batch_size=3"]
    assert main([*arguments, "--quiet", "--results", str(tmp_path / "one")]) == 0
    process = launched(TORCHRUN, [*arguments, "--results", str(tmp_path / "two")])
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("1 run\n") == 1, "one process tells"
    (one,), (two,) = (store.read_all(tmp_path / name) for name in ("one", "two"))
    assert (one.environment.processes, two.environment.processes) == (1, 2)
    assert one.id == two.id and one.parameters == two.parameters
    for a, b in zip(one.scores.validation, two.scores.validation, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-4)
        assert a.step == b.step
    assert one.scores.test_samples == two.scores.test_samples


def test_accelerate_on_cpus_is_refused_since_it_starts_one_process():
    process = launched(ACCELERATE, ["list", "methods"])
    assert process.returncode != 0
    assert "`torchrun --standalone --nproc-per-node N -m bench run ...`" in process.stderr


def test_accelerate_may_start_one_process():
    one = [word if word != "2" else "1" for word in ACCELERATE]
    assert "cola-adalora" in launched(one, ["list", "methods"]).stdout


def test_other_commands_are_for_one_process(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["leaderboard"]) == 2
    assert "bench leaderboard cannot run in the 2 processes of a launcher" in capsys.readouterr().err
