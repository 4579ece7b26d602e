"""One bad file in a results folder is left out of every report with one warning, which names the file and the key."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import mocks
import pytest

from bench import api, cli
from bench.config.plan import RunRequest, make_plan
from bench.errors import BenchError
from bench.execution.finished_runs import look_up
from bench.records import schema, store
from bench.records.checks import check_spec
from bench.report.write import write_leaderboard

PLAN = make_plan(RunRequest("mini", ["lora", "cola"], ["ave", "avs"], [0, 1]))
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A results folder with a record of each run of a small plan."""
    results = tmp_path_factory.mktemp("good")
    for number, spec in enumerate(PLAN):
        store.write(mocks.record(spec, 60.0 + number), results)
    return results


def changed(*keys, value):
    """A change of a record as JSON, at one place."""

    def change(document):
        *above, last = keys
        for key in above:
            document = document[key]
        document[last] = value

    return change


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


BAD = {
    "a list for a mapping": (changed("spec", "streams", "vision", value=[]), r"\$\.spec\.streams"),
    "a list for scores": (changed("scores", "test", value=[1.0]), r"\$\.scores\.test"),
    "step 0": (changed("scores", "validation", 0, "step", value=0), r"\$\.scores\.validation\[0\]\.step"),
    "threads": (changed("environment", "threads", value=10**30), r"\$\.environment\.threads"),
    "no threads": (changed("environment", "threads", value=0), r"\$\.environment\.threads"),
    "fewer than no parameters": (changed("parameters", "adapter", value=-1), r"\$\.parameters\.adapter"),
    "no scoring rule": (
        changed(
            "provenance", value={"method": {"checksum": "a"}, "task": {"checksum": "b"}, "encoders": {}, "scoring": -9}
        ),
        r"\$\.provenance\.scoring",
    ),
    "a seed of 30 digits": (changed("spec", "seed", value=10**30), r"spec\.seed"),
    "a setting of 30 digits": (changed("spec", "settings", "r", value=10**30), r"spec\.settings\.r"),
    "a huge score": (changed("scores", "test", "f1", value=1e300), r"scores\.test\.f1"),
    "a score of no percentage": (changed("scores", "test", "accuracy", value=1e99), r"scores\.test\.accuracy"),
    "a floor of none": (changed("scores", "floors", "sound alone", value=-1e7), r"scores\.floors\.sound alone"),
    "a score of a split": (changed("scores", "splits", value={"val": {"f1": 1e7}}), r"scores\.splits\.val\.f1"),
    "a score of an epoch": (
        changed("scores", "validation", 0, "scores", "f1", value=1e7),
        r"scores\.validation\.0\.scores\.f1",
    ),
    "too deep": (changed("spec", "settings", "r", value=nested(800)), r"spec\.settings\.r"),
    "too deep by far": (changed("tuned", value=nested(5000)), "recursion"),
    "a long text": (changed("spec", "suite", value="x" * 200_000), r"spec\.suite"),
    "a name too long for a file": (changed("spec", "method", value="x" * 300), r"spec\.method"),
    "no best epoch": (changed("scores", "best_epoch", value=7), r"scores\.best_epoch"),
    "no epoch": (changed("scores", "validation", value=[]), r"scores\.best_epoch"),
    "no primary score": (changed("scores", "metric", value="oiou"), r"scores\.test has no oiou"),
    "no validation score": (changed("scores", "validation", 0, "scores", value={}), r"scores\.validation\[0\]"),
    "a recipe of words": (changed("spec", "recipe", "epochs", value="many"), r"spec\.recipe\.epochs"),
    "no recipe": (changed("spec", "recipe", value={}), r"spec\.recipe\.lr_adapter"),
    "streams that are a number": (changed("spec", "data", "streams", value=3), r"spec\.data\.streams"),
    "an id that leads elsewhere": (changed("id", value="../../../etc/x"), "id is"),
    "an adapter that lies elsewhere": (changed("adapter", value="/"), "adapter"),
    "an adapter above": (changed("adapter", value="adapters/.."), "adapter"),
    "splits without validation": (changed("scores", "splits", value={"test": {}}), r"scores\.splits"),
    "a later schema": (changed("schema", value=3), "schema is 3"),
    "a schema in words": (changed("schema", value="1"), "schema is '1', and this version of bench reads up to 2"),
}


def test_a_value_is_not_taken_for_an_equal_one_of_another_type():
    """Though it is remembered which values were right, since thousands of records have the same."""
    spec = PLAN[0]
    one, true = (replace(spec, recipe={**spec.recipe, "epochs": value}) for value in (1, True))
    for _ in range(2):
        check_spec(one)
        with pytest.raises(ValueError, match=r"spec\.recipe\.epochs must be a whole number, not True"):
            check_spec(true)


def spoil(results: Path, name: str) -> str:
    """Puts a bad file of some kind into a results folder; returns what the warning says of it."""
    folder = results / store.FOLDER
    path = folder / "zzz.json"
    if name == "a pipe":
        os.mkfifo(path)
        return "it is not a regular file"
    if name == "a folder":
        path.mkdir()
        return "not a regular file"
    if name == "a link to nothing":
        path.symlink_to(folder / "nothing")
        return "No such file"
    if name == "cut short":
        path.write_text('{"schema": 1, "spec": ')
        return "truncated"
    change, message = BAD[name]
    spec = make_plan(RunRequest("mini", ["dora"], ["ave"]))[0]
    document = json.loads(schema.dumps(mocks.record(spec, 99.0)))
    change(document)
    sys.setrecursionlimit(before := sys.getrecursionlimit() * 20)
    try:
        path.write_text(json.dumps(document))
    finally:
        sys.setrecursionlimit(before // 20)
    return message


KINDS = [*BAD, "a pipe", "a folder", "a link to nothing", "cut short"]


def written(results: Path, out: Path) -> dict[str, bytes]:
    """What every report makes of a results folder, by the name of the file."""
    out.mkdir()
    for path in write_leaderboard(results):
        shutil.move(path, out / path.name)
    for form in ("csv", "peft", "model-index"):
        assert cli.main(["export", "--format", form, "--results", str(results), "--out", str(out / form)]) == 0
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_record_does_not_change_the_reports(good, tmp_path, kind, caplog, capsys):
    results = shutil.copytree(good, tmp_path / "results")
    before = written(results, tmp_path / "before")
    for command in (["status"], ["power"]):
        assert cli.main([*command, "--results", str(results)]) == 0
    output = capsys.readouterr().out.replace(str(tmp_path / "before"), str(tmp_path / "after"))
    message = spoil(results, kind)
    caplog.clear()
    assert len(api.load_records(results)) == len(PLAN)
    (warning,) = caplog.messages
    assert warning.startswith(f"left out: {results}/records/zzz.json is not a readable record: ")
    assert re.search(message, warning), warning
    assert len(warning) < 1000
    assert written(results, tmp_path / "after") == before
    for command in (["status"], ["power"]):
        assert cli.main([*command, "--results", str(results)]) == 0
    assert capsys.readouterr().out == output
    assert cli.main(["show", "--run", "99999", "--results", str(results)]) == 2
    assert not look_up(PLAN, results).superseded


def beside(results: Path) -> dict[str, bytes]:
    """The files that belong to the first run, by name."""
    name = schema.stem(PLAN[0])
    return {path.name: path.read_bytes() for path in sorted((results / store.FOLDER).glob(f"{name}*"))}


@pytest.mark.parametrize("kind", [*BAD, "another run's"])
def test_an_unreadable_file_under_a_runs_name_is_refused_and_a_rerun_renames_it(good, tmp_path, kind):
    """A record of a later version was written over."""
    results = shutil.copytree(good, tmp_path / "results")
    path = results / store.FOLDER / f"{schema.stem(PLAN[0])}.json"
    path.unlink()
    if kind == "another run's":
        shutil.copy(path.with_name(f"{schema.stem(PLAN[1])}.json"), path)
    else:
        spoil(results, kind)
        path.with_name("zzz.json").rename(path)
    scores = path.with_suffix(".npz")
    scores.write_bytes(b"of the earlier one")
    content = path.read_bytes()
    with pytest.raises(BenchError, match=rf"{re.escape(str(path))} .*bench run --rerun"):
        look_up(PLAN, results)
    assert look_up(PLAN, results, rerun=True).superseded[PLAN[0].id] is None
    newer = mocks.record(PLAN[0], 71.0)
    store.set_aside(results, PLAN[0], newer)
    store.write(newer, results)
    assert store.read(path) == newer
    aside = beside(results)
    del aside[path.name]
    assert aside == {f"{path.stem}~1.json": content, f"{path.stem}~1.npz": b"of the earlier one"}


def test_a_trial_under_a_runs_name_is_no_finished_run(good, tmp_path):
    """`bench run` in the folder of the trials came to a KeyError where it looked for the test score."""
    results = shutil.copytree(good, tmp_path / "results")
    path = store.write(mocks.trial(PLAN[0]), results)
    assert look_up(PLAN, results, trials=True).finished.keys() == {spec.id for spec in PLAN}
    assert look_up(PLAN, results).superseded.keys() == {PLAN[0].id}
    shutil.rmtree(results / store.FOLDER)
    trial, run = mocks.trial(PLAN[0]), mocks.record(PLAN[0])
    store.write(trial, results)
    store.write(run, results)
    assert store.read(path) == run and store.read(path.with_name(f"{path.stem}~1.json")) == trial
    assert store.read_all(results) == [run]


@pytest.mark.parametrize("command", [["leaderboard"], ["export", "--format", "csv"], ["power"]])
def test_a_folder_without_records_is_not_a_usage_error(tmp_path, command, capsys):
    assert cli.main([*command, "--results", str(tmp_path)]) == 1
    assert str(tmp_path / store.FOLDER) in capsys.readouterr().err


COMMANDS = [["status"], ["leaderboard"], ["export", "--format", "csv"], ["power"], ["show", "--run", "abc"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("kind", ["a file", "a link to itself", "a link to nothing", "records that are a file"])
def test_a_path_that_is_not_a_folder_is_a_usage_error(tmp_path, command, kind, capsys):
    """`status` said that a file holds no records, and the others proposed to make some there."""
    results = reported = tmp_path / "results"
    if kind == "a file":
        results.touch()
    elif kind == "records that are a file":
        results.mkdir()
        reported = results / store.FOLDER
        reported.touch()
    else:
        results.symlink_to(results if kind == "a link to itself" else tmp_path / "nothing")
    assert cli.main([*command, "--results", str(results)]) == 2
    assert capsys.readouterr().err == f"bench: {reported} is not a folder: choose a results folder with --results\n"


def test_a_name_with_a_newline_is_reported_in_one_line(good, tmp_path, caplog, capsys):
    results = shutil.copytree(good, tmp_path / "re\nsults")
    (results / store.FOLDER / "a\nb\x1b[31m.json").write_text("{}")
    assert len(store.read_all(results)) == len(PLAN)
    (warning,) = caplog.messages
    assert "\n" not in warning and "\\x1b" in warning
    for command in COMMANDS:
        cli.main([*command, "--results", str(tmp_path / "no\nne")])
        output = capsys.readouterr()
        assert (output.out + output.err).count("\n") == 1
