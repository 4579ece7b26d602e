"""`bench profile` from end to end, at the sizes of the suite mini."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench import cli
from bench.profiling import record as efficiency
from bench.records import store


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A results folder of LoRA, CoLA and the head alone on AVS."""
    results = tmp_path_factory.mktemp("profiled")
    arguments = ["--suite", "mini", "--methods", "cola,lora,head", "--tasks", "avs", "--device", "cpu", "--rounds", "2"]
    assert cli.main(["profile", *arguments, "--results", str(results), "--quiet"]) == 0
    return results


def test_each_method_has_a_record_without_a_score(profiled):
    records = {record.spec.method: record for record in efficiency.read_all(profiled)}
    assert records.keys() == {"cola", "lora", "head"}
    assert store.read_all(profiled) == []
    assert {path.name for path in profiled.iterdir()} <= {"efficiency", "efficiency.md", "records"}
    page = (profiled / "efficiency.md").read_text(encoding="utf-8")
    assert "there are no scores" in page and all(f"| {name}" in page for name in records)
    for record in records.values():
        assert record.against.method == "lora" and record.batch_size == 1 and record.rounds == 2
        assert record.speed.train.low <= record.speed.train.median <= record.speed.train.high
        assert (record.speed.score_merged is None) == (record.spec.method == "head")
    base = records["lora"]
    assert (base.against.train.median, base.against.memory, base.against.score_operations) == (1, 1, 1)
    assert records["cola"].against.score_operations == records["cola"].operations.score / base.operations.score > 1
    assert records["cola"].parameters.adapter == 107_952 and records["head"].parameters.adapter == 0


def test_the_parameters_are_those_of_a_run(profiled):
    """Those of the suite mini's recorded runs (README)."""
    records = {record.spec.method: record.parameters for record in efficiency.read_all(profiled)}
    assert (records["lora"].adapter, records["lora"].head, records["lora"].total) == (36_864, 62_928, 581_904)


def test_the_leaderboard_ignores_efficiency_records(profiled, capsys):
    assert cli.main(["leaderboard", "--results", str(profiled)]) == 1
    assert "there are no records" in capsys.readouterr().err


def test_a_method_that_cannot_be_measured_leaves_the_others(tmp_path, capsys, monkeypatch):
    from bench.methods.head import HeadOnly

    monkeypatch.setattr(HeadOnly, "attach", lambda *_: 1 / 0)
    arguments = ["--suite", "mini", "--methods", "head,full", "--tasks", "avs", "--device", "cpu", "--rounds", "1"]
    assert cli.main(["profile", *arguments, "--results", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "avs head failed: ZeroDivisionError" in out
    assert "stored for the backward pass. The MB of `bench run` is the peak of the whole training." in out
    (record,) = efficiency.read_all(tmp_path)
    assert record.spec.method == record.against.method == "full"


def test_the_largest_batch_is_reported_in_a_line_each(tmp_path, capsys):
    arguments = ["--suite", "mini", "--methods", "lora,head", "--tasks", "avs", "--device", "cpu", "--suggest-batch"]
    assert cli.main(["profile", *arguments, "--results", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["avs lora", "avs head"]
    assert all("sample" in line for line in lines) and not (tmp_path / "none").exists()


def run(*arguments, **environment):
    """A command in a process of its own, which must not import anything heavy."""
    code = (
        "import sys; from bench.cli import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; sys.exit(code)"
    )
    env = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env)


def test_unknown_names_propose_the_nearest(tmp_path):
    completed = run("profile", "--suite", "ful", "--methods", "lroa", "--tasks", "avee", "--set", "train.batch=3")
    assert completed.returncode == 2
    for message in ("did you mean full", "did you mean lora", "did you mean ave", "batch_size"):
        assert message in completed.stderr
    suite = tmp_path / "own.toml"
    mini = ["profile", "--methods", "lora", "--tasks", "ave", "--suite", "full", "--set"]
    completed = run(*mini, "vision.model=someone/unknown", HF_HUB_CACHE=str(tmp_path))
    assert completed.returncode == 2 and "the encoder someone/unknown is missing" in completed.stderr, completed.stderr
    assert not suite.exists()
    completed = run("profile", "--methods", "lora", "--tasks", "ave", "--batch", "2", "--suggest-batch")
    assert completed.returncode == 2 and "give one or the other" in completed.stderr


def test_a_reference_that_is_not_profiled_is_refused(tmp_path, capsys):
    arguments = ["--suite", "mini", "--methods", "head,full", "--tasks", "avs", "--results", str(tmp_path / "none")]
    assert cli.main(["profile", *arguments, "--reference", "cola"]) == 2
    assert capsys.readouterr().err == "bench: --reference cola: no row has this label; choose one of full, head\n"
    assert not (tmp_path / "none").exists()


def test_records_are_plain_json(profiled):
    for path in (profiled / "efficiency").iterdir():
        assert json.loads(path.read_text(encoding="utf-8"))["kind"] == "efficiency"
