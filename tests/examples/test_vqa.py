"""The example of a task in its own package: a dataset, a task over three streams, and a suite."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from example_packages import EXAMPLES, install

from bench import cli
from bench.config.suite import load_suite
from bench.data import splits
from bench.records import store

EXAMPLE = EXAMPLES / "bench-vqa"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip has installed the package."""
    return install(EXAMPLE.name, tmp_path_factory.mktemp("vqa"))


@pytest.fixture
def on_path(installed, monkeypatch):
    """The package can be imported, and its entry points are read."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(installed)
    yield
    torch.set_num_threads(threads)
    splits._cache.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench_vqa"]:
        del sys.modules[name]


def test_its_code_is_short():
    assert sum(len(path.read_text().splitlines()) for path in EXAMPLE.rglob("*.py") if "build" not in path.parts) <= 120


def test_task_suite_and_release_are_listed(on_path, capsys):
    assert cli.main(["list", "tasks"]) == 0
    assert "vqa                     Audio-visual question answering (MUSIC-AVQA)" in capsys.readouterr().out
    assert cli.main(["list", "suites"]) == 0
    assert "vqa " in capsys.readouterr().out
    assert cli.main(["data", "describe", "vqa"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("vqa: MUSIC-AVQA") and "9,185" in out and "audio/<video id>.wav" in out


def test_it_trains_on_generated_data_which_verify_accepts_until_it_is_damaged(on_path, tmp_path, capsys):
    assert list(load_suite("vqa").streams) == ["vision", "audio", "text"]
    arguments = ["--suite", "vqa", "--methods", "lora,cola", "--tasks", "vqa", "--set", "vqa.epochs=1"]
    arguments += ["--data-root", str(tmp_path / "cache"), "--results", str(tmp_path / "results"), "--device", "cpu"]
    assert cli.main(["run", *arguments]) == 0
    records = {record.spec.method: record for record in store.read_all(tmp_path / "results")}
    assert {*records} == {"cola", "lora"}
    for record in records.values():
        assert record.status == "ok" and list(record.spec.streams) == ["vision", "audio", "text"]
        floors = record.scores.floors
        assert {*floors} == {"constant answer", "reads the question only"} and all(50 < v < 95 for v in floors.values())
    # CoLA adapts each stream by both others.
    assert records["cola"].parameters.adapter > records["lora"].parameters.adapter

    root = tmp_path / "cache" / "mini-v1-seed0" / "vqa"
    verify = ["data", "verify", "vqa", "--root", str(root)]
    capsys.readouterr()
    assert cli.main([*verify, "--counts", "any"]) == 0
    assert cli.main(verify) == 1
    assert "split train: 48 questions, expected 32,087 as published" in capsys.readouterr().out
    sorted(root.glob("audio/*.wav"))[0].unlink()
    assert cli.main([*verify, "--counts", "any"]) == 1
    assert "is missing" in capsys.readouterr().out
    (root / "json" / "avqa-val.json").write_text("[{}]")
    assert cli.main([*verify, "--counts", "any"]) == 1
    assert "expected questions in the form of MUSIC-AVQA" in capsys.readouterr().out
