"""Folders that the user names: a results folder that is not there, and files to write into folders that are not."""

from __future__ import annotations

import pytest

from bench import cli
from bench.cli.shared_arguments import check_target
from bench.errors import UsageError

READING = ["compare a b", "export --format csv", "leaderboard", "plot", "power", "show --run 0", "status"]
WRITING = [
    "export --format csv --out",
    "plot --out",
    "show --run 0 --out",
    "tune --methods lora --tasks ave --trials 1 --out",
    "check --report",
    "check --update --baseline",
    "pretrain text --steps 1 --out",
    "data prepare ave --root . --out",
]


@pytest.mark.parametrize("command", READING)
def test_a_missing_results_folder_is_wrong_usage(command, tmp_path, capsys):
    folder = tmp_path / "nosuch"
    assert cli.main([*command.split(), "--results", str(folder)]) == 2
    message = f"bench: there is no results folder {folder}: choose one with --results\n"
    assert capsys.readouterr().err == message and not folder.exists()


@pytest.mark.parametrize("command", WRITING)
def test_a_mistyped_folder_of_a_file_to_write_is_not_made(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command.split(), "nosuch/a.svg"]) == 2
    option = command.rpartition(" ")[2]
    assert capsys.readouterr().err.endswith(
        f"{option} nosuch/a.svg: there is no folder nosuch: make it first, or choose another one\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_results_folder_and_what_is_in_it_is_made(tmp_path):
    results = tmp_path / "results"
    check_target(results / "plots/a.svg", "--out", results)
    check_target(tmp_path / "a.svg", "--out", results)
    with pytest.raises(UsageError):
        check_target(tmp_path / "others/a.svg", "--out", results)
