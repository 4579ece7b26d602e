"""Commands that neither train nor compute start at once: nothing heavy is imported for them."""

from __future__ import annotations

import json
import subprocess
import sys

import mocks
import pytest
from PIL import Image

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.records import store
from bench.report.export.write import FORMATS

TRAINING = ["torch", "transformers", "peft", "accelerate", "optuna", "scipy.stats"]
RECORDING = ["msgspec", "bench.records.schema", "tomlkit", "multiprocessing", "ctypes", "subprocess", "tabulate"]
COMPUTING = ["numpy", "scipy", "pandas", "matplotlib", "huggingface_hub"]
CODE = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from bench import cli
commands, heavy = json.loads(sys.argv[1])
outcomes = []
for argv in commands:
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            code = cli.main(argv)
        except SystemExit as end:
            code = end.code
    outcomes.append([code, [name for name in heavy if name in sys.modules], output.getvalue()])
print(json.dumps(outcomes))
"""


def check(commands, heavy):
    """Give the commands one after another in a fresh process, with the exit code that is expected of each."""
    arguments = json.dumps([[argv for argv, _ in commands], heavy])
    done = subprocess.run([sys.executable, "-c", CODE, arguments], capture_output=True, text=True, check=True)
    for (argv, code), outcome in zip(commands, json.loads(done.stdout), strict=True):
        assert outcome[:2] == [code, []], (argv, outcome)


@pytest.fixture
def results(mock_suite, tmp_path):
    """Finished runs of two methods with two seeds, whose gain varies."""
    for spec in make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1])):
        store.write(mocks.record(spec, 70.0 + (spec.seed + 1) * (spec.method == "cola")), tmp_path / "results")
    return str(tmp_path / "results")


def test_commands_that_neither_train_nor_compute(tmp_path):
    rows = []
    for number, split in enumerate(("train", "train", "val", "val", "test", "test")):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,in words,{'ab'[number % 2]},{split}\n")
    (tmp_path / "own.csv").write_text("image,text,label,split\n" + "".join(rows))
    plan = ["--methods", "lora,cola", "--tasks", "ave", "--results", str(tmp_path / "new")]
    commands = [
        *([*command, "--help"] for command in ([], *([name] for name in cli.COMMANDS))),
        *(["list", kind] for kind in ("methods", "tasks", "suites", "encoders", "executors")),
        ["status", *plan],
        ["data", "describe", "ave"],
        ["init-suite", str(tmp_path / "own.toml"), "--csv", str(tmp_path / "own.csv")],
        ["run", *plan, "--dry-run"],
    ]
    mistakes = [
        ["rnu"],
        ["run", "--jbos", "2"],
        *([name, "--methods", "lroa", "--tasks", "avee"] for name in ("run", "tune", "status", "profile", "check")),
        ["run", "--methods", "lora,cola", "--tasks", "ave,avs", "--set", "cola.rr=8"],
        ["check-method", "lroa"],
        ["check-method", "lora", "--set", "rr=8"],
    ]
    missing = [["eval", str(tmp_path / "nowhere")]]
    expected = ((commands, 0), (mistakes, 2), (missing, 1))
    check([(argv, code) for argvs, code in expected for argv in argvs], TRAINING + COMPUTING)


def test_help_and_mistakes_in_a_plan_read_and_write_nothing(tmp_path):
    """So neither what reads records is imported for them, nor what writes settings or starts processes."""
    plan = ["--methods", "lroa,cola", "--tasks", "avee"]
    commands = [
        *([name, "--help"] for name in ("run", "tune", "check", "status", "init-suite", "list", "data")),
        ["list", "methods"],
    ]
    mistakes = [
        *([name, *plan] for name in ("run", "tune", "status")),
        *([name, "--reslts", "here"] for name in ("run", "tune", "check", "status", "init-suite")),
        ["run", "--methods", "lora", "--tasks", "ave", "--set", "cola.rr=8"],
        ["init-suite"],
    ]
    check([*((argv, 0) for argv in commands), *((argv, 2) for argv in mistakes)], TRAINING + COMPUTING + RECORDING)


def test_commands_that_compute_with_records(results, tmp_path):
    of = ["--results", results]
    commands = [
        ["leaderboard", *of],
        ["compare", "cola", "lora", *of],
        ["power", *of],
        *(["export", "--format", form, *of, "--out", str(tmp_path / form)] for form in FORMATS),
        ["plot", *of, "--out", str(tmp_path / "gains.svg")],
    ]
    mistakes = [["show", "--run", "none", *of], ["leaderboard", *of, "--reference", "dora"]]
    check([*((argv, 0) for argv in commands), *((argv, 2) for argv in mistakes)], TRAINING)
