"""Ways out of a command: signals at any time, readers that are gone, full disks, encodings that lack characters.

Whatever happens, there is no traceback, and the record of each run that is done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pooled
import pytest

from bench import cli
from bench.records import store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and shells are others there")

SEEDS = range(6)


@pytest.fixture
def command(mock_suite, tmp_path):
    """The words of a `bench run` of six seeds with made-up runs."""
    argv = ["--methods", "lora", "--tasks", "ave", "--seeds", ",".join(map(str, SEEDS)), "--suite", str(mock_suite)]
    folders = ["--results", str(tmp_path / "out"), "--data-root", str(tmp_path)]
    return [sys.executable, pooled.__file__, "run", *argv, *folders]


def started(command, runs="brief", **more) -> subprocess.Popen[str]:
    environment = os.environ | {"RUNS": runs} | more.pop("env", {})
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more
    return subprocess.Popen(command, env=environment, **piped)


def wait_for(happened):
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "this never happened"
        time.sleep(0.02)


def seeds(tmp_path: Path) -> set[int]:
    return {record.spec.seed for record in store.read_all(tmp_path / "out") if record.status == "ok"}


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("also", [None, subprocess.STDOUT])
def test_runs_continue_if_the_output_is_closed(command, tmp_path, jobs, also):
    """As with `| head -3`, and with `2>&1 | head -3`."""
    with started([*command, "--jobs", jobs], stderr=also) as process:
        for _ in range(3):
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
    assert seeds(tmp_path) == set(SEEDS)
    assert (tmp_path / "out" / "leaderboard.md").exists()


def in_shell(command: list[str], redirected: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ["sh", "-c", f'"$@" {redirected}', "sh", *command]
    env = os.environ | {"RUNS": "brief"} | environment
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no file like a full disk")
def test_output_to_a_full_disk_does_not_stop_the_runs(command, tmp_path):
    completed = in_shell(command, "> /dev/full")
    assert completed.returncode == 1
    assert completed.stderr.splitlines()[-1] == "bench: standard output cannot be written: No space left on device"
    assert "Traceback" not in completed.stderr
    assert seeds(tmp_path) == set(SEEDS)
    assert in_shell(command, "> /dev/full 2>&1").returncode == 1


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_records_are_not_written_to_closed_standard_streams(command, tmp_path, closed):
    completed = in_shell([*command, "--jobs", "2"], closed)
    assert completed.returncode == 0 and "Traceback" not in completed.stderr
    assert seeds(tmp_path) == set(SEEDS)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"loading" in path.read_bytes()]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_outside_the_encoding_are_replaced(command, tmp_path, encoding):
    folder = os.fsdecode(b"r\xe9sultats \xc3\xa9 \xe2\x89\x88")
    arguments = [str(tmp_path / folder) if word == str(tmp_path / "out") else word for word in command]
    completed = subprocess.run(
        arguments, env=os.environ | {"RUNS": "brief", "PYTHONIOENCODING": encoding}, capture_output=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    assert b"r\\udce9sultats" in completed.stdout and b"Traceback" not in completed.stderr
    assert len(store.read_all(tmp_path / folder)) == len(SEEDS)
    assert (tmp_path / folder / "leaderboard.md").exists()


SIGNALS = [
    [signal.SIGINT],
    [signal.SIGTERM],
    [signal.SIGHUP],
    [signal.SIGINT, signal.SIGINT],
    [signal.SIGTERM, signal.SIGTERM],
    [signal.SIGHUP, signal.SIGTERM, signal.SIGINT],
]


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("arriving", SIGNALS)
def test_signals_end_a_command_well(command, tmp_path, arriving, jobs):
    with started([*command, "--jobs", jobs], runs="linger") as process:
        wait_for(lambda: (tmp_path / jobs).exists() and seeds(tmp_path) == {0})
        for number in arriving:
            process.send_signal(number)
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in err
    again = "" if arriving[0] == signal.SIGINT else " with --retry-failed"
    assert f"stopped: 1 of {len(SEEDS)} runs finished; the same command{again} continues\n" in err
    assert "leaderboard: " in out
    assert (tmp_path / "out" / "leaderboard.md").exists()
    failed = [record.reason for record in store.read_all(tmp_path / "out") if record.status == "failed"]
    expected = 0 if arriving[0] == signal.SIGINT else int(jobs)
    assert len(failed) == expected and all("stopped by signal" in reason for reason in failed)
    assert not (tmp_path / "out" / "claims").exists()


@pytest.mark.parametrize("arriving", SIGNALS)
def test_signals_leave_the_leaderboard_whole(command, tmp_path, arriving):
    begun = tmp_path / "begun"
    with started(command, env={"SLOW_LEADERBOARD": str(begun)}) as process:
        wait_for(begun.exists)
        for number in arriving:
            process.send_signal(number)
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in err
    assert f"leaderboard: {tmp_path / 'out' / 'leaderboard.md'}" in out
    assert seeds(tmp_path) == set(SEEDS)


def test_a_second_signal_after_a_while_ends_a_command_at_once(command, tmp_path):
    with started(command, runs="stubborn") as process:
        wait_for((tmp_path / "0").exists)
        process.send_signal(signal.SIGINT)
        time.sleep(2.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1 and err == "bench: stopped at once\n"


def test_ignored_signals_stay_ignored(command, tmp_path):
    """As below `nohup`."""
    with started(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command]) as process:
        wait_for((tmp_path / "1").exists)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    assert seeds(tmp_path) == set(SEEDS)


@pytest.mark.parametrize("words", [["list", "methods"], ["leaderboard"], ["status"], ["data", "describe", "ave"]])
def test_printing_commands_end_quietly_if_the_output_is_closed(command, tmp_path, words):
    folder = [] if words[0] in ("list", "data") else ["--results", str(tmp_path)]
    with started([sys.executable, "-m", "bench", *words, *folder]) as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) == (1 if words == ["leaderboard"] and "no records" in err else 0)
    assert "Traceback" not in err and "Errno" not in err


@pytest.mark.parametrize(
    ("words", "going_on"),
    [
        (["run", "--methods", "lora", "--tasks", "ave"], "what is finished is kept, and the same command continues"),
        (["tune", "--methods", "lora", "--tasks", "ave"], "what is finished is kept, and the same command continues"),
        (["check"], "finished runs are kept, and the same command with --resume continues"),
        (
            ["profile", "--methods", "lora", "--tasks", "ave"],
            "tasks whose table is shown are recorded; name the others",
        ),
        (["leaderboard"], "the same command begins again"),
    ],
)
def test_a_signal_while_runs_are_planned_or_read_says_how_to_go_on(words, going_on, tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for function in (
        "execution.planning.plan_request",
        "execution.planning.plan_runs",
        "report.write.write_leaderboard",
    ):
        monkeypatch.setattr(f"bench.{function}", interrupt)
    monkeypatch.setattr("bench.cli.profile.make_plan", interrupt)
    assert cli.main([*words, "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"bench: stopped; {going_on}")


@pytest.mark.parametrize("place", ["bench.cli.main", "bench.__main__.run_command"])
def test_a_signal_before_a_command_begins_is_told_in_one_line(place):
    """While modules are imported too, where it is still an exception."""
    module, _, name = place.rpartition(".")
    interrupt = "lambda argv: os.kill(os.getpid(), signal.SIGINT)"
    code = f"import os, signal, {module} as module; module.{name} = {interrupt}; from bench import __main__ as m"
    completed = subprocess.run(
        [sys.executable, "-c", f"{code}; raise SystemExit(m.main())"], capture_output=True, text=True, check=False
    )
    assert (completed.returncode, completed.stdout, completed.stderr) == (1, "", "bench: stopped\n")
