"""`bench data` on small releases in the official layouts."""

from __future__ import annotations

import sys

import pytest
from official import write_official

from bench import cli


def test_describe(capsys):
    assert cli.main(["data", "describe", "refcoco+refcocog"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("refcoco: RefCOCO") and "\n\nrefcocog: RefCOCOg" in out


def test_verify_prints_its_findings_and_exits_with_1_for_faults(tmp_path, capsys):
    root = write_official(tmp_path / "ms3", "avs_ms3")
    assert cli.main(["data", "verify", "avs_ms3", "--root", str(root), "--counts", "any"]) == 0
    assert capsys.readouterr().out.endswith("no faults\n")
    assert cli.main(["data", "verify", "avs_ms3", "--root", str(root), "--quick"]) == 1
    assert "split train: 3 videos, expected 296 as published" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "avss"], "unknown task avss: did you mean avs"),
        (["verfy", "ave"], "bench data cannot verfy: did you mean verify"),
        (["verify", "ave"], "bench data verify needs --root DIR, the folder of the release"),
        (["verify", "ave", "--root", "nowhere"], "--root nowhere is not a folder"),
        (["verify", "ave", "--rooot", "x"], "unknown option --rooot: did you mean --root"),
    ],
)
def test_mistakes_in_the_command(arguments, message, capsys):
    assert cli.main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_describing_needs_nothing_heavy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert cli.main(["data", "describe", "ave"]) == 0


def test_a_run_without_data_says_what_is_missing_and_how_to_provide_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "bench.execution.single_run", None
    )  # importing it would fail, and would bring torch
    run = ["run", "--methods", "lora", "--set", "data.source=official", "--results", str(tmp_path / "results")]
    assert cli.main([*run, "--tasks", "ave,refcoco:box"]) == 2
    err = capsys.readouterr().err
    assert "data.source=official needs --data-root" in err
    assert "https://github.com/lichengunc/refer, `bench data describe refcoco`" in err and "describe ave" in err
    write_official(tmp_path / "data", "refcoco")
    (tmp_path / "data/refcoco/refs(unc).p").unlink()
    assert cli.main([*run, "--tasks", "ave,refcoco+refcoco_plus", "--data-root", str(tmp_path / "data")]) == 2
    data = tmp_path / "data"

    def advice(name):
        return f"`bench data describe {name}` shows where to get it; name its folder with --data-root DIR"

    assert capsys.readouterr().err.splitlines() == [
        "bench: 3 mistakes:",
        f"  the data of ave is not complete in {data}: AVE_Dataset/Annotations.txt, AVE_Dataset/video_frames, "
        f"AVE_Dataset/raw_audio missing; {advice('ave')}",
        f"  the data of refcoco is not complete in {data}: refcoco/refs(unc).p missing; {advice('refcoco')}",
        f"  the data of refcoco_plus is not complete in {data}: refcoco+/instances.json, refcoco+/refs(unc).p missing; "
        f"{advice('refcoco_plus')}",
    ]
    (tmp_path / "data/AVE_Dataset/AVE").mkdir(parents=True)
    assert cli.main([*run, "--tasks", "ave", "--data-root", str(tmp_path / "data")]) == 2
    assert "bench data prepare ave --root" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
