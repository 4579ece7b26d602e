from __future__ import annotations

import os
import subprocess
import sys

import mocks
import pytest

import bench
from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.records import store

GONE = "cannot be imported from no_such_package.gone:Gone: ModuleNotFoundError: No module named 'no_such_package'"


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"bench {bench.__version__}\n"


@pytest.mark.parametrize("kind", ["methods", "tasks"])
def test_list(mock_registry, capsys, kind):
    assert cli.main(["list", kind]) == 0
    assert (
        capsys.readouterr().out
        == {
            "methods": f"cola  Cross-modal low-rank updates, made up.\ngone  {GONE}\n"
            "lora  Low-rank updates, made up.\n",
            "tasks": "ave  Events in video and sound, made up.\navs  Masks of what sounds, made up.\n",
        }[kind]
    )


def test_every_method_is_listed_in_a_line(capsys):
    assert cli.main(["list", "methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("adalora", "adapter", "cola", "cola+<method>", "cola-adalora", "cola-dora", "dg-sct", "dora", "full"),
        *("head", "lavish", "lora", "lora-plus", "peft:<type>", "vpt"),
    ]
    for line in lines:
        name, _, about = line.partition(" ")
        assert about.strip().endswith((".", "...")), name
        assert len(line) <= 120, name


def test_list_suites(tmp_path, monkeypatch, capsys):
    (tmp_path / "mock.toml").write_text(mocks.SUITE)
    monkeypatch.setattr("bench.config.suite._FOLDER", tmp_path)
    assert cli.main(["list", "suites"]) == 0
    assert capsys.readouterr().out == "mock  Nothing is trained.\n"


def test_leaderboard(mock_suite, tmp_path, capsys):
    assert cli.main(["leaderboard", "--results", str(tmp_path)]) == 1
    assert "there are no records" in capsys.readouterr().err
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    store.write(mocks.record(spec), tmp_path)
    assert cli.main(["leaderboard", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "".join(
        f"leaderboard: {tmp_path / f'leaderboard.{form}'}\n" for form in ("md", "html")
    )
    assert cli.main(["leaderboard", "--results", str(tmp_path), "--reference", "dora"]) == 2
    assert "--reference dora: no row has this label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rnu"], "unknown command rnu: did you mean run?"),
        (
            ["list", "method"],
            "cannot list method: did you mean methods? known: encoders, executors, methods, peft, suites, tasks",
        ),
        (["run", "--method", "lora", "--taks=ave"], "unknown option --method: did you mean --methods?"),
        (["run", "--method", "lora", "--taks=ave"], "unknown option --taks: did you mean --tasks or --track?"),
        (["list", "methods", "more"], "unknown option more"),
    ],
)
def test_unknown_names_propose_the_nearest(capsys, argv, message):
    assert cli.main(argv) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["list"], ["run", "--device", "tpu"], ["run", "--quiet", "--verbose"]])
def test_usage(capsys, argv):
    with pytest.raises(SystemExit, match="2"):
        cli.main(argv)
    assert "usage: bench" in capsys.readouterr().err


def test_help_is_fast():
    def seconds():  # of a processor: by the clock it depends on what the machine does besides
        start = os.times()
        subprocess.run([sys.executable, "-m", "bench", "--help"], capture_output=True, check=True)
        end = os.times()
        return end.children_user + end.children_system - start.children_user - start.children_system

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("code", [0, None, 3])
def test_code_that_ends_a_command_does_not_make_it_succeed(code, monkeypatch, capsys):
    def main(args):
        raise SystemExit(code)

    monkeypatch.setattr("bench.cli.list.main", main)
    assert cli.main(["list", "methods"]) == 1
    assert f"code that the command called ended it, by SystemExit: {code} (" in capsys.readouterr().err
