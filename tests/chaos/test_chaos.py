"""Sweeps that are killed, stopped, starved and confused end with the scores of one that was left alone.

`make chaos KILLS=50` does it fifty times, each time in another way; CHAOS_SEED draws others. A plain `pytest` skips it,
since each takes a minute; `.ci/run` does one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from random import Random

import pytest
from sweeps import FinishedRuns, Sweep, check_whole, hurt, measured_on_disk_or_printed, with_data

KILLS = int(os.environ.get("KILLS", "0"))
SEED = int(os.environ.get("CHAOS_SEED", "0"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)
BEATS_FASTER = {"CHAOS_BEAT": "0.3", "CHAOS_STALE": "5"}
DURATION = 12.0  # seconds that a sweep takes where nothing else runs, about


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """A sweep that is left alone."""
    sweep = Sweep(tmp_path_factory.mktemp("reference"))
    assert sweep.start().wait(300) == 0, sweep.printed
    return sweep


def signals_to_one_command(sweep, chance):
    sweep.start()
    return hurt(sweep, chance, chance.randint(1, 3), SIGNALS, DURATION)


def signals_to_parallel_runs(sweep, chance):
    sweep.start("--jobs", "2")
    return hurt(sweep, chance, chance.randint(1, 3), SIGNALS, DURATION)


def signals_to_several_commands(sweep, chance):
    for _ in range(chance.randint(2, 3)):
        sweep.start("--jobs", str(chance.randint(1, 2)))
    return hurt(sweep, chance, chance.randint(1, 4), SIGNALS, DURATION)


def a_stopped_command(sweep, chance):
    """It wakes up after another one has taken over its run."""
    sweep.environ |= BEATS_FASTER
    stopped = sweep.start()
    time.sleep(chance.uniform(4, DURATION))
    stopped.send_signal(signal.SIGSTOP)
    try:
        sweep.start().wait(300)
    finally:
        stopped.send_signal(signal.SIGCONT)
    return ["stopped a command until another one was through"]


def a_full_disk(sweep, chance):
    sweep.results.mkdir()
    size = chance.choice((3, 8))
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", sweep.results], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    try:
        command = sweep.start("--jobs", str(chance.randint(1, 2)))
        time.sleep(chance.uniform(2, DURATION))
        kind = chance.choice(("full", "read-only"))
        if kind == "full":
            fill(sweep.results / "filler", size)
        else:
            subprocess.run(["mount", "-o", "remount,ro", sweep.results], check=False, capture_output=True)
        command.wait(300)
        measured_on_disk_or_printed(sweep)
        subprocess.run(["mount", "-o", "remount,rw,size=50m", sweep.results], check=True, capture_output=True)
        (sweep.results / "filler").unlink(missing_ok=True)
        shutil.copytree(sweep.results, sweep.root / "kept")
    finally:
        sweep.end()
        subprocess.run(["umount", "-l", sweep.results], check=True)
    sweep.results.rmdir()
    (sweep.root / "kept").rename(sweep.results)
    return [f"the disk was {kind}"]


def fill(path, mebibytes):
    with path.open("wb", buffering=0) as file:
        try:
            for _ in range(mebibytes * 256):
                file.write(bytes(4096))
        except OSError:
            return


def a_clock_that_steps(sweep, chance):
    begin, seconds = time.time() + chance.uniform(0, DURATION), chance.choice((-1, 1)) * chance.choice((2, 70, 1e6))
    sweep.start(CHAOS_CLOCK_FROM=str(begin), CHAOS_CLOCK_BY=str(seconds))
    sweep.start()
    return [f"one command's clock stepped by {seconds} s"]


def equal_process_ids(sweep, chance):
    """As in containers, or on hosts that share a file system."""
    sweep.environ |= BEATS_FASTER
    apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which(apart[0]) is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("processes cannot be put into process id namespaces of their own here")
    for _ in range(3):
        sweep.start(before=apart)
    return hurt(sweep, chance, chance.randint(0, 2), SIGNALS, DURATION)


SCENARIOS = (
    signals_to_several_commands,
    a_full_disk,
    a_stopped_command,
    signals_to_parallel_runs,
    a_clock_that_steps,
    equal_process_ids,
    signals_to_one_command,
)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_disturbed_sweep_ends_like_an_undisturbed_one(number, reference, tmp_path):
    chance = Random(f"{SEED} {number}")
    scenario = SCENARIOS[number % len(SCENARIOS)]
    sweep = Sweep(tmp_path / "sweep")
    with_data(sweep, reference, chance)
    try:
        with FinishedRuns(sweep) as finished:
            events = scenario(sweep, chance)
            sweep.wait()
            assert not sweep.processes(), "a process outlives the command that started it"
            sweep.finish()
        check_whole(sweep, reference)
        assert not finished.done_again, "a finished run was done again"
        assert "Traceback" not in sweep.printed
    except BaseException:
        print(f"{scenario.__name__}: {locals().get('done')}\n{sweep.printed}")
        raise
    finally:
        sweep.end()
