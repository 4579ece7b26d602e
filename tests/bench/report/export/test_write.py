from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path

import mocks
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.errors import BenchError, UsageError
from bench.records import store
from bench.report.export.write import FORMATS, export, table

FOLDERS = {"peft": ".json", "model-index": ".yaml"}


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave", "avs"], [0, 1]))


@pytest.fixture
def results(plan, tmp_path):
    """Seven finished runs and one that failed."""
    folder = tmp_path / "results"
    for spec in plan[:-1]:
        store.write(mocks.record(spec, 70.0 + spec.seed), folder)
    store.write(mocks.failed(plan[-1]), folder)
    return folder


def read(form, path):
    return pd.read_csv(path) if form == "csv" else pd.read_parquet(path)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_row_a_run_the_oldest_first(results, plan, form):
    path, count = export(results, form)
    assert (path, count) == (results / f"records.{form}", 8)
    frame = read(form, path)
    assert list(frame["id"]) == [record.id for record in store.read_all(results)]
    assert frame["started"].is_monotonic_increasing
    assert list(frame["status"]).count("failed") == 1
    first = frame[frame["id"] == plan[0].id].iloc[0]
    assert (first["suite"], first["task"], first["method"], first["metric"]) == ("mock", "ave", "lora", "accuracy")
    assert first["score"] == first["test.accuracy"] == 70.0
    assert (first["setting.r"], first["recipe.lr_adapter"], first["task_setting.hidden"]) == (16, 1e-3, 512)
    assert (first["environment.device"], first["environment.threads"]) == ("cpu", 2)
    assert first["environment.commit"] == mocks.ENVIRONMENT.commit
    assert (first["data.source"], first["data.fingerprint"]) == ("generated", "abc")
    assert first["stream.audio"] == "embedded:audio-v1"
    failed = frame[frame["status"] == "failed"].iloc[0]
    assert pd.isna(failed["score"]) and pd.isna(failed["parameters.adapter"])
    assert failed["reason"] == "the loss is not finite at step 3"


def test_a_row_says_what_the_recipe_leaves_unsaid_and_what_was_done(mock_suite, tmp_path):
    changes = ["train.schedule=poly", "train.patience=1"]
    for change in ([], changes):
        (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [len(change)], change))
        environment = dataclasses.replace(mocks.ENVIRONMENT, precision="bf16", jobs=2, processes=1)
        data = dataclasses.replace(mocks.record(spec).data, skipped=3)
        store.write(mocks.record(spec, environment=environment, data=data), tmp_path)
    frame = read("csv", export(tmp_path, "csv")[0])
    assert list(frame["recipe.schedule"]) == ["cosine", "poly"] and list(frame["recipe.passes"]) == [1, 1]
    assert (
        list(frame["recipe.epochs"]) == [4, 4] and list(frame["epochs"]) == [1, 1] and list(frame["steps"]) == [10, 10]
    )
    assert set(frame["recipe.precision"]) == {"auto"} and set(frame["environment.precision"]) == {"bf16"}
    assert set(frame["data.skipped"]) == {3} and set(frame["environment.jobs"]) == {2}


def test_whole_numbers_stay_whole_and_lists_are_json(results):
    text = export(results, "csv")[0].read_text()
    assert ",16000,2500,18500,900000," in text and "16000.0" not in text
    frame = read("parquet", export(results, "parquet")[0])
    assert frame["parameters.adapter"].dtype == "Int64" and frame["score"].dtype == "float64"
    assert frame["environment.dirty"].dtype == "boolean"
    targets = frame["setting.targets"]
    assert list(targets.isna()) == list(frame["method"] == "lora")
    assert {tuple(json.loads(target)) for target in targets.dropna()} == {("q", "v")}


@pytest.mark.parametrize("form", FORMATS)
def test_equal_records_give_equal_files(results, tmp_path, form):
    for name in ("a", "b"):
        export(results, form, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != {}


def contents(path):
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name if path.is_dir() else "": file.read_bytes() for file in files}


@pytest.mark.parametrize(("form", "suffix"), FOLDERS.items())
def test_a_file_a_finished_run_called_as_its_record(results, form, suffix, caplog):
    path, count = export(results, form)
    assert (path, count) == (results / form, 7)
    finished = [record for record in store.read_all(results) if record.scores]
    stems = {file.stem for file in (results / store.FOLDER).iterdir() if store.read(file) in finished}
    assert {file.name for file in path.iterdir()} == {stem + suffix for stem in stems}
    assert "left out: 1 failed of 8 runs" in caplog.text


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(VALUES, st.lists(VALUES, max_size=2)), min_size=3, max_size=3))
def test_settings_of_any_type_come_back_from_parquet(mock_suite, tmp_path, values):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    specs = [dataclasses.replace(spec, settings={"x": value}) for value in values]
    table([mocks.record(variant) for variant in specs]).to_parquet(tmp_path / "t.parquet")
    column = pd.read_parquet(tmp_path / "t.parquet")["setting.x"]
    kinds = {type(value) for value in values if value is not None}
    as_json = not any(kinds <= allowed for allowed in ({str}, {bool}, {int, float}))
    for value, cell in zip(values, column, strict=True):
        assert pd.isna(cell) if value is None else value == (json.loads(cell) if as_json else cell)


def test_scores_that_are_not_finite(plan, tmp_path):
    record = mocks.record(plan[0])
    scores = dataclasses.replace(record.scores, test={**record.scores.test, "f1": math.nan})
    store.write(dataclasses.replace(record, scores=scores), tmp_path)
    for form in FORMATS:
        export(tmp_path, form)
    assert read("csv", tmp_path / "records.csv")["test.f1"].isna().all()


def test_old_records_are_written_too(tmp_path):
    data = Path(__file__).parents[3] / "data" / "records_v1"
    for form in FORMATS:
        path, count = export(data, form, tmp_path / form)
        assert path.exists() and count == (2 if form in ("csv", "parquet") else 1)


@pytest.mark.parametrize("form", FORMATS)
def test_no_records(tmp_path, form):
    with pytest.raises(BenchError, match=f"there are no records in {tmp_path}/records: `bench run` makes them"):
        export(tmp_path, form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FOLDERS)
def test_no_finished_run(plan, tmp_path, form):
    store.write(mocks.failed(plan[0]), tmp_path)
    with pytest.raises(BenchError, match=r"no run in .* is completed: there are no scores to write"):
        export(tmp_path, form)


def test_an_unknown_format(results):
    with pytest.raises(UsageError, match="unknown format parkuet: did you mean parquet"):
        export(results, "parkuet")


@pytest.mark.parametrize("form", FORMATS)
def test_a_place_that_cannot_be_written(results, tmp_path, form):
    (tmp_path / "file").write_text("there before")
    out = tmp_path / "file" / "below"
    with pytest.raises(BenchError, match=f"{out} cannot be written: .*; choose another place with --out"):
        export(results, form, out)
    assert (tmp_path / "file").read_text() == "there before"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_link_of_the_users_is_followed_and_a_pipe_is_left_alone(results, tmp_path, form):
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_text("earlier")
    link.symlink_to(target)
    export(results, form, link)
    assert link.is_symlink() and target.read_bytes() != b"earlier"
    os.mkfifo(pipe)
    with pytest.raises(BenchError, match=r"exists and is not a regular file.*choose another place with --out"):
        export(results, form, pipe)
    assert pipe.is_fifo()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_is_written_whole_or_not_at_all(results, monkeypatch, form):
    path, _ = export(results, form)
    before = path.read_bytes()

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BenchError, match="no space left on device"):
        export(results, form)
    assert path.read_bytes() == before
    assert not list(results.glob(".*.tmp"))


def test_the_command(results, tmp_path, capsys):
    assert cli.main(["export", "--format", "csv", "--results", str(results)]) == 0
    assert capsys.readouterr().out == f"csv of 8 runs: {results}/records.csv\n"
    out = tmp_path / "some.parquet"
    assert cli.main(["export", "--format", "parquet", "--results", str(results), "--out", str(out)]) == 0
    assert out.is_file()
    assert cli.main(["export", "--format", "xml", "--results", str(results)]) == 2
    assert cli.main(["export", "--format", "csv", "--results", str(tmp_path)]) == 1
    with pytest.raises(SystemExit, match="2"):
        cli.main(["export"])
