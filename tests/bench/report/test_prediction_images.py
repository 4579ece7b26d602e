"""Pictures of what runs predicted, from runs on a few generated samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors import numpy as tensor_files

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.execution.single_run import execute
from bench.records import predictions, store


@pytest.fixture(scope="module")
def results(options, tmp_path_factory):
    """A results folder with a run of every kind of task."""
    folder = tmp_path_factory.mktemp("results")
    for task, changes in TASKS.items():
        (spec,) = make_plan(
            RunRequest("mini", ["head"], [task], [0], [f"{task}.epochs=1", f"{task}.batch_size=4", *FEW, *changes])
        )
        record = execute(spec, replace(options, results=folder))
        assert record.status == "ok", record.traceback
        store.write(record, folder)
    return folder


FEW = ("train.passes=1", "train.views=1", "train.head_factor=1")
JOINED = "refcoco+refcoco_plus+refcocog"
TASKS = {
    "ave": [],
    "avs": [],
    "refcoco": ["refcoco.hidden=16"],
    "refcocog:mask": ["refcocog:mask.hidden=16"],
    JOINED: [f"{JOINED}.hidden=16"],
}


def show(results, options, task, out, *more):
    (record,) = [record for record in store.read_all(results) if record.spec.task == task]
    arguments = ["--run", record.id[:8], "--results", str(results), "--data-root", str(options.data_root)]
    return cli.main(["show", *arguments, "--out", str(out), *more])


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_of_each_task(results, options, tmp_path, task):
    heights = []
    for count in ("1", "2"):
        path = tmp_path / f"{count}.png"
        assert show(results, options, task, path, "--n", count) == 0
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
        heights.append(len(pixels))
    assert heights[1] > heights[0] + 50


def test_pictures_go_below_the_results_folder(results, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (record,) = [record for record in store.read_all(results) if record.spec.task == "avs"]
    arguments = ["--results", str(results), "--data-root", str(options.data_root), "--n", "1"]
    assert cli.main(["show", "--run", record.id, *arguments]) == 0
    path = results / "pictures" / f"{record.id}.png"
    assert path.is_file() and str(path) in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "nothing in the folder in which the command was given"


def test_the_predictions_are_those_of_the_test_splits(results):
    (record,) = [record for record in store.read_all(results) if record.spec.task == "refcoco"]
    (spec,) = make_plan(
        RunRequest(
            "mini", ["head"], ["refcoco"], [0], ["refcoco.epochs=1", "refcoco.batch_size=4", *FEW, "refcoco.hidden=16"]
        )
    )
    assert spec.id == record.id
    for split in ("testA", "testB"):
        outputs = predictions.load(results, spec, split, is_first=split == "testA")
        assert max(outputs) < record.data.counts[split] and len(outputs) <= predictions.SAMPLES
        assert all(set(output) == {"box", "mask"} and output["box"].shape == (1, 4) for output in outputs.values())


def test_another_test_split_is_drawn_into_a_picture_of_its_own(results, options, tmp_path, capsys):
    (record,) = [record for record in store.read_all(results) if record.spec.task == "refcoco"]
    arguments = ["--run", record.id, "--results", str(results), "--data-root", str(options.data_root), "--n", "2"]
    pixels = {}
    for split, name in ((None, record.id), ("testA", f"{record.id}-testA"), ("testB", f"{record.id}-testB")):
        assert cli.main(["show", *arguments, *(["--split", split] if split else [])]) == 0
        path = results / "pictures" / f"{name}.png"
        assert str(path) in capsys.readouterr().out
        with Image.open(path) as picture:
            pixels[split] = np.asarray(picture.convert("RGB"))
    assert np.array_equal(pixels[None], pixels["testA"]), "the first one, if none is named"
    assert not np.array_equal(pixels["testA"], pixels["testB"])
    assert show(results, options, JOINED, tmp_path / "x.png", "--split", "refcocog.test") == 0


def test_an_unknown_split_is_told_with_the_known_ones(results, options, tmp_path, capsys):
    assert show(results, options, "refcoco", tmp_path / "x.png", "--split", "testC") == 2
    message = capsys.readouterr().err
    assert "--split testC: refcoco has no such test split: " in message and "testA" in message and "testB" in message
    assert show(results, options, "ave", tmp_path / "x.png", "--split", "val") == 2
    assert "ave has no such test split" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_runs_of_earlier_versions_have_the_first_split_only(results, options, tmp_path, capsys):
    (record,) = [record for record in store.read_all(results) if record.spec.task == "refcoco"]
    path = results / predictions.FOLDER / f"{record.stem}.safetensors"
    whole = path.read_bytes()
    arrays = tensor_files.load(whole)
    first = {name.removeprefix("testA/"): array for name, array in arrays.items() if name.startswith("testA/")}
    path.write_bytes(tensor_files.save(first))
    try:
        assert show(results, options, "refcoco", tmp_path / "a.png") == 0
        assert show(results, options, "refcoco", tmp_path / "b.png", "--split", "testB") == 1
        message = capsys.readouterr().err
        assert (
            "there are no predictions of refcoco head seed 0 for testB" in message and "--rerun makes them" in message
        )
    finally:
        path.write_bytes(whole)


def test_joined_data_sets_are_scored_one_by_one(results):
    (record,) = [record for record in store.read_all(results) if record.spec.task == JOINED]
    assert list(record.scores.splits) == [
        "val",
        *("refcoco.testA", "refcoco.testB", "refcoco_plus.testA", "refcoco_plus.testB", "refcocog.test"),
    ]
    assert all({"accuracy@0.5", "miou", "oiou"} <= set(scores) for scores in record.scores.splits.values())
    assert record.scores.test_samples == sum(n for split, n in record.data.counts.items() if "." in split)


def test_what_cannot_be_shown_is_told(results, options, tmp_path, capsys):
    common = ["--results", str(results), "--data-root", str(options.data_root)]
    assert cli.main(["show", "--run", "nothing", *common]) == 2
    assert "--run nothing: no run matches" in capsys.readouterr().err
    assert cli.main(["show", "--run", "", *common]) == 2
    assert "5 runs match" in capsys.readouterr().err
    assert show(results, options, "ave", tmp_path / "x.png", "--n", "0") == 2
    (tmp_path / "folder").mkdir()
    assert show(results, options, "ave", tmp_path / "folder") == 2
    assert "cannot be written" in capsys.readouterr().err
    for path in (results / predictions.FOLDER).glob("ave-*"):
        path.rename(tmp_path / path.name)
    assert show(results, options, "ave", tmp_path / "x.png") == 1
    assert "--rerun makes them" in capsys.readouterr().err
