"""Tuned settings by name, and the baseline that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cli
from bench.config.shipped import baseline_path, results_folder, tuned_files, tuned_path
from bench.config.tuned_settings import read_tuned
from bench.errors import UsageError

MINI = Path(__file__).parents[3] / "results" / "mini"


def test_every_file_of_tuned_settings_has_a_name_and_can_be_read():
    assert tuned_files()["mini"] == MINI / "tuned.toml"
    assert tuned_files()["mini-cola-size"] == MINI / "tuned-cola-size.toml"
    assert len(tuned_files()) == len(list(MINI.parent.glob("*/tuned*.toml")))
    suites = {path.parent.name: read_tuned(path).tuning.suite for path in tuned_files().values()}
    assert {"mini": "mini", "three-streams": "mini"}.items() <= suites.items()


def test_a_path_stays_a_path_and_an_unknown_name_proposes_the_nearest():
    assert tuned_path("x/mini.toml") == Path("x/mini.toml") and tuned_path(Path("mini.toml")) == Path("mini.toml")
    with pytest.raises(
        UsageError, match=r"unknown settings minni: did you mean mini\? known: mini, .*path of a \.toml"
    ):
        tuned_path("minni")


def test_run_takes_settings_by_name(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--methods", "lora", "--tasks", "ave", "--settings", "minni"]) == 2
    assert "unknown settings minni: did you mean mini?" in capsys.readouterr().err
    assert cli.main(["run", "--methods", "lora", "--tasks", "ave", "--settings", "mini", "--suite", "full"]) == 2
    assert "tuned.toml" in capsys.readouterr().err, "settings of one suite are not for another"


def test_the_baseline_of_the_package_counts_where_the_working_folder_has_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    default = Path("results/mini/baseline.json")
    assert baseline_path(default) == results_folder() / "mini" / "baseline.json" == MINI / "baseline.json"
    assert baseline_path(Path("results/none.json")) == Path("results/none.json")
    assert baseline_path(Path("mini/baseline.json")) == Path("mini/baseline.json")
    default.parent.mkdir(parents=True)
    default.touch()
    assert baseline_path(default) == default
