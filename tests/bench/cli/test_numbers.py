"""Numbers that are none, or of a size that nothing has: one message of a line, before anything is done."""

from __future__ import annotations

import pytest

from bench import cli

LONG, LONGER = "9" * 400, "9" * 5000  # the former is infinite as a float, and Python refuses to read the latter
WHOLE = (LONG, LONGER, "0", "-1", "1.5", "nan")


@pytest.mark.parametrize(
    "words",
    [
        *(f"run {option} {value}" for option in ("--jobs", "--seeds") for value in (LONG, LONGER, "-1", "1.5", "nan")),
        *(f"run --memory-limit {value}" for value in (f"{LONG}MB", f"{LONGER}GB", "infGB")),
        *(f"run --time-limit {value}" for value in (f"{LONG}s", f"{LONGER}h", "nans")),
        *(f"run --budget {value}" for value in (LONG, f"{LONGER}k", f"{LONG}%")),
        *(f"run --executor ray --cpus-per-run {value}" for value in WHOLE),
        *(f"run --executor ray --gpus-per-run {value}" for value in (LONG, LONGER, "inf", "nan")),
        *(f"run --executor ray --memory-per-run {value}GB" for value in (LONG, LONGER)),
        *(f"run --set ave.epochs={value}" for value in (LONG, LONGER, f"0x{LONGER}", "1e400", "nan", 2**63)),
        *(f"run --set train.lr_adapter={value}" for value in (LONG, LONGER, "1e400", "nan")),
        *(f"run --set data.seed={value}" for value in (LONG, LONGER, -1)),
        *(f"run --set vision.{key}={value}" for key in ("size", "frames", "length") for value in (999999999, 0)),
        *(f"run --set audio.{key}" for key in ("window_s=1e300", "mean=-1e300", "std=1e300", "std=0.0")),
        *(f"{command} --jobs {value}" for command in ("run", "tune") for value in (1025, 100000000000)),
        "data prepare ave --root . --out . --jobs 1025",
        *(f"run --set cola.r={value}" for value in (LONG, LONGER, f"0x{LONGER}", 2**63)),
        *(f"tune {option} {value}" for option in ("--trials", "--epochs", "--jobs") for value in WHOLE),
        *(f"power --gain {value}" for value in (LONG, LONGER, "inf", "nan", "x")),
        *(f"power --power {value}" for value in (LONG, "nan")),
        *(f"power --comparisons {value}" for value in WHOLE),
        *(f"show --run abc --n {value}" for value in WHOLE),
        *(f"pretrain vision --steps {value}" for value in WHOLE),
        *(
            f"profile --methods cola --tasks ave {option} {value}"
            for option in ("--batch", "--rounds")
            for value in WHOLE
        ),
        *(f"data prepare ave --root . --out . --jobs {value}" for value in WHOLE),
    ],
    ids=lambda words: words if len(words) < 60 else f"{words[:50]}... ({len(words)})",
)
def test_useless_numbers_are_refused_in_one_line(mock_suite, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    argv = words.split()
    if argv[0] in ("run", "tune"):
        argv += ["--methods", "cola", "--tasks", "ave", "--suite", str(mock_suite), "--results", "out"]
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("bench: ") and err.count("\n") == 1 and len(err) < 400
    assert not (tmp_path / "out").exists()
