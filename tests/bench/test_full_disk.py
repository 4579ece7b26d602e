"""A disk that is full, or cannot be written any more, loses nothing that was measured: it is printed."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import mocks
import pytest

import bench
from bench import cli
from bench.check import baseline
from bench.config.plan import RunRequest, make_plan
from bench.errors import BenchError
from bench.execution import single_run
from bench.records import predictions, sample_scores, schema, store
from bench.saved_adapters import save_load


class Disk(ExitStack):
    """A disk with a results folder, to which nothing can be written once `fill` is called.

    In its `with` block only: a full disk must not outlast the test, or pytest cannot write whether it passed.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        super().__init__()
        self.kind, self.folder = kind, folder

    def fill(self) -> None:
        if self.kind == "full":
            self.enter_context(mocks.full_disk())
            return
        for folder in [*self.folder.rglob("records")]:  # root may write to a read-only folder
            folder.rename(folder.with_name("records before"))
            folder.touch()


@pytest.fixture(params=["full", "not writable"])
def disk(request, tmp_path):
    return Disk(request.param, tmp_path)


@pytest.fixture
def seeds(disk, monkeypatch):
    """Run of which that of seed 1 leaves the disk full."""
    begun = []

    def execute(spec, options):
        begun.append(spec.seed)
        if spec.seed == 1:
            disk.fill()
        return mocks.trial(spec) if options.validate_only else mocks.record(spec, 61.25)

    monkeypatch.setattr(single_run, "execute", execute)
    return begun


def run_arguments(suite, results):
    arguments = ["--suite", str(suite), "--methods", "lora", "--tasks", "ave", "--seeds", "0,1,2"]
    return [*arguments, "--results", str(results), "--quiet"]


def printed(text):
    """Return the record that a message begins with, in lines of its own."""
    return json.loads(text[text.index("\n{") : text.index("\nthe record of")])


def test_run_prints_the_record_and_what_is_finished(seeds, disk, mock_suite, tmp_path, capsys):
    with disk:
        assert cli.main(["run", *run_arguments(mock_suite, tmp_path)]) == 1
    output = capsys.readouterr()
    measured = printed(output.err)
    assert measured["spec"]["seed"] == 1 and measured["scores"]["test"]["accuracy"] == 61.25
    assert "the record of ave lora seed 1, printed above, cannot be written: " in output.err
    assert "ave     lora" in output.out, "the table of what is finished"
    assert seeds == [0, 1] and not (tmp_path / "claims").exists()


def test_run_ends_with_1_where_only_the_leaderboard_cannot_be_written(mock_suite, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(single_run, "execute", lambda spec, _: mocks.record(spec))
    (tmp_path / "leaderboard.md").mkdir()
    assert cli.main(["run", *run_arguments(mock_suite, tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("bench: the leaderboard cannot be written: ") and "ave     lora" in output.out
    assert len(store.read_all(tmp_path)) == 3


def test_tune_prints_the_record(seeds, disk, mock_suite, tmp_path, capsys):
    with disk:
        assert cli.main(["tune", *run_arguments(mock_suite, tmp_path), "--trials", "1"]) == 1
    assert printed(capsys.readouterr().err)["spec"]["seed"] == 1


def test_check_prints_the_record(seeds, disk, mock_suite, tmp_path, capsys):
    arguments = [
        "check",
        "--update",
        "--baseline",
        str(tmp_path / "baseline.json"),
        *run_arguments(mock_suite, tmp_path),
        "--jobs",
        "1",
    ]
    with disk:
        assert cli.main(arguments) == 1
    assert printed(capsys.readouterr().err)["spec"]["seed"] == 1


def test_a_script_has_the_record_in_the_error(seeds, disk, mock_suite, tmp_path):
    with disk, pytest.raises(BenchError) as raised:
        bench.run("lora", "ave", seeds=[0, 1], suite=mock_suite, results=tmp_path)
    assert printed(str(raised.value))["scores"]["test"]["accuracy"] == 61.25


def test_a_baseline_that_cannot_be_written_is_printed(tmp_path):
    fresh = baseline.Baseline(1, "mock", [0, 1], "2026-01-01T00:00:00+00:00", mocks.ENVIRONMENT, "a processor", {})
    with (
        mocks.full_disk(),
        pytest.raises(BenchError, match="the baseline, printed above, cannot be written to") as raised,
    ):
        baseline.write(fresh, tmp_path / "baseline.json")
    assert json.loads(str(raised.value).rpartition("the baseline, printed above")[0])["suite"] == "mock"


@pytest.mark.parametrize("fails", ["set_aside", "samples", "predictions", "adapter", "all"])
def test_what_a_run_saves_besides_its_record_fails_by_itself(options, tmp_path, monkeypatch, caplog, fails):
    (spec,) = make_plan(RunRequest("mini", ["head"], ["ave"], [0], ["ave.epochs=1", *mocks.EACH_ONCE]))
    places = {
        "set_aside": (store, "set_aside"),
        "samples": (sample_scores, "save"),
        "predictions": (predictions, "save"),
        "adapter": (save_load, "save"),
    }

    def full(*_):
        raise OSError("no space left on device")

    for name, place in places.items():
        if fails in (name, "all"):
            monkeypatch.setattr(*place, full)
    with caplog.at_level(logging.ERROR, logger="bench"):
        record = single_run.execute(spec, replace(options, results=tmp_path, save_adapters=True))
    assert record.status == "ok" and record.scores
    errors = [log_record.message for log_record in caplog.records]
    assert len(errors) == 1 and "no space left on device" in errors[0]
    stem, saved = schema.stem(spec), fails not in ("set_aside", "all")
    assert (tmp_path / "records" / f"{stem}.npz").exists() == (saved and fails != "samples")
    assert (tmp_path / "predictions" / f"{stem}.safetensors").exists() == (saved and fails != "predictions")
    assert (record.adapter is not None) == (saved and fails != "adapter") == (tmp_path / "adapters" / stem).exists()
