from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import mocks
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench import registry
from bench.config import validate
from bench.config.plan import RunRequest, make_plan
from bench.config.recipe import Recipe
from bench.config.spec import Spec
from bench.config.suite import Data, StreamSource
from bench.errors import BenchError, UsageError
from bench.execution.planning import plan_runs
from bench.records import schema, store
from bench.records.checks import check_recordable

MINI = Path(__file__).parents[3] / "bench/suites/mini.toml"

SPEC = Spec(
    suite="mock",
    task="ave",
    method="cola",
    seed=3,
    settings={"r": 8, "inter_scale": None, "targets": ["q", "v"]},
    task_settings={"hidden": 512},
    recipe=mocks.RECIPE,
    streams={"vision": {"model": "embedded:vision-v2"}, "audio": {"model": "embedded:audio-v1"}},
    data={"source": "generated", "version": 3, "seed": 7},
)
SCHEMA_CLASSES = [
    schema.Record,
    schema.Scores,
    schema.Epoch,
    schema.Parameters,
    schema.Memory,
    schema.Throughput,
    schema.Times,
    schema.DataInfo,
    schema.Environment,
]


def strategy(hint):
    """Values of every type that the schema uses."""
    if dataclasses.is_dataclass(hint):
        parts = {name: strategy(field_hint) for name, field_hint in validate.hints(hint).items()}
        if hint is schema.Record:
            parts |= {"schema": st.just(schema.SCHEMA), "spec": st.just(SPEC)}
        return st.builds(hint, **parts)
    if get_origin(hint) is dict:
        return st.dictionaries(st.text(), strategy(get_args(hint)[1]))
    if get_origin(hint) is list:
        return st.lists(strategy(get_args(hint)[0]))
    if type(None) in get_args(hint):
        return st.none() | strategy(get_args(hint)[0])
    if hint is Any:
        return st.text()
    if hint in (int, schema.Count, schema.Ordinal):
        return st.integers(1, 2**63 - 1)
    if hint is float:
        return st.floats(-1e6, 1e6)  # larger ones are no measurements
    return st.from_type(hint)


for cls in reversed(SCHEMA_CLASSES):
    st.register_type_strategy(cls, strategy(cls))


@given(st.from_type(schema.Record))
def test_a_record_survives_writing_and_reading(tmp_path_factory, record):
    results = tmp_path_factory.mktemp("results")
    assert schema.decode(store.write(record, results).read_bytes()) == record


NUMBERS = [
    f"{owner}.{name}"
    for owner, cls in (
        ("train", Recipe),
        ("audio", StreamSource),
        ("data", Data),
        ("lora", registry.load("methods", "lora")),
    )
    for name, hint in validate.hints(cls).items()
    if hint in (int, float) or {int, float} & {*get_args(hint)}
]


@given(st.sampled_from(NUMBERS), st.integers() | st.integers(-(10**19), 10**19) | st.floats(allow_nan=False))
@example("train.clip", 1e300)
@example("train.weight_decay", sys.float_info.max)
@example("audio.mean", -sys.float_info.max)
@example("audio.frames", 10**18 - 1)
def test_a_setting_that_a_plan_takes_is_read_back(tmp_path_factory, name, value):
    """The record of a finished run was refused where a setting was above what can be measured."""
    try:
        (spec,) = make_plan(RunRequest("mini", ["lora"], ["ave"], [0], [f"{name}={value}"]))
    except UsageError:
        return
    record = mocks.failed(spec)
    assert store.read(store.write(record, tmp_path_factory.mktemp("results"))) == record
    check_recordable([spec])


def test_measurements_beyond_the_limits_do_not_lose_the_record(tmp_path):
    record = mocks.record(SPEC, traceback="x" * 200_000 + "end", throughput=schema.Throughput(1e300, -1e300))
    scores = dataclasses.replace(record.scores, test={"accuracy": 1e7, "f1": 250.0}, floors={"constant": 1e200})
    read = store.read(store.write(dataclasses.replace(record, scores=scores), tmp_path))
    assert math.isnan(read.throughput.train) and math.isnan(read.throughput.score)
    assert math.isnan(read.scores.floors["constant"]) and read.scores.test["f1"] == 250
    assert read.outcome == "failed" and read.traceback.endswith("xend")


def test_settings_that_no_record_can_contain_are_refused_while_planning(tmp_path):
    suite = tmp_path / "long.toml"
    suite.write_text(re.sub('name = ".*"', f'name = "{"x" * 200_000}"', MINI.read_text(), count=1))
    with pytest.raises(UsageError, match=r"spec\.suite has 200,000 characters"):
        plan_runs(RunRequest(str(suite), ["lora"], ["ave"]))


def test_every_key_has_a_sentence():
    for cls in SCHEMA_CLASSES:
        for field in dataclasses.fields(cls):
            assert field.metadata["doc"].endswith("."), f"{cls.__name__}.{field.name}"


def test_files_of_schema_1_stay_readable():
    old = Path(__file__).parents[2] / "data"  # made by the first version of the program, from made-up measures
    ok, failed = sorted(store.read_all(old / "records_v1"), key=lambda record: record.spec.seed)
    assert (ok.status, failed.status) == ("ok", "failed")
    assert ok.scores.test["accuracy"] == 71.25
    assert ok.label == "ave cola seed 0"
    assert failed.reason == "the loss is not finite at step 3"
    assert all(store.find(old / "records_v1", record.spec) for record in (ok, failed))


@pytest.mark.parametrize("loss", [0.5, None])
def test_names_of_schema_1_become_those_of_today(tmp_path, loss):
    record = mocks.record(SPEC)
    path = store.write(
        dataclasses.replace(record, parameters=dataclasses.replace(record.parameters, no_gradient=64)), tmp_path
    )
    today = store.read(path)
    content = json.loads(path.read_text())
    content["schema"] = 1
    content["parameters"]["effective"] = content["parameters"].pop("active")
    content["parameters"]["idle"] = content["parameters"].pop("no_gradient")
    content["scores"]["validation"][0]["train_loss"] = loss  # null, for one that is not finite, is read by other code
    path.write_text(json.dumps(content))
    read = store.read(path)
    assert (read.schema, read.parameters, read.spec) == (2, today.parameters, SPEC)
    assert read.parameters.no_gradient == 64 and type(read) is schema.Record


def test_numbers_that_are_not_finite_do_not_lose_the_record(tmp_path):
    record = mocks.record(SPEC, throughput=schema.Throughput(train=math.nan, score=math.inf))
    path = store.write(record, tmp_path)
    written = json.loads(path.read_text(), parse_constant=pytest.fail)["throughput"]
    assert (written["train"], written["score"]) == (None, None)
    assert math.isnan(store.read(path).throughput.train)


def test_numbers_of_numpy_do_not_lose_the_record(tmp_path):
    memory = schema.Memory("resident size", train_peak=np.int64(5), score_peak=np.int32(6))
    path = store.write(mocks.record(SPEC, memory=memory, throughput=schema.Throughput(np.float32(0.5), 1.0)), tmp_path)
    read = store.read(path)
    assert (read.memory.train_peak, read.memory.score_peak, read.throughput.train) == (5, 6, 0.5)


def test_one_file_a_run_with_a_name_for_any_file_system(tmp_path):
    spec = dataclasses.replace(SPEC, method="a/b: c|d")
    assert store.find(tmp_path, spec) is None
    path = store.write(mocks.record(spec, 1.0), tmp_path)
    assert path.name == f"ave-a_b_c_d-s3-{spec.id}.json"
    assert store.find(tmp_path, spec) == path
    assert store.write(mocks.record(spec, 2.0), tmp_path) == path
    assert [record.scores.test["accuracy"] for record in store.read_all(tmp_path)] == [2.0]


def test_a_crash_while_writing_keeps_the_record_that_was_there(tmp_path, monkeypatch):
    path = store.write(mocks.record(SPEC, 1.0), tmp_path)

    def crash(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space left"):
        store.write(mocks.record(SPEC, 2.0), tmp_path)
    assert store.read(path).scores.test["accuracy"] == 1.0
    assert list(path.parent.iterdir()) == [path]


def test_torn_and_foreign_files_are_left_out(tmp_path, caplog):
    path = store.write(mocks.record(SPEC), tmp_path)
    torn = path.read_text()[:100]
    path.with_name(f".{path.name}.99.tmp").write_text(torn)
    path.with_name("torn.json").write_text(torn)
    path.with_name("notes.txt").write_text("mine")
    assert [record.id for record in store.read_all(tmp_path)] == [SPEC.id]
    assert len(caplog.messages) == 1
    assert "torn.json is not a readable record" in caplog.messages[0]


def test_keys_of_a_later_version_are_ignored(tmp_path):
    record = mocks.record(SPEC)
    path = store.write(record, tmp_path)
    content = json.loads(path.read_text())
    content["scores"]["added"] = content["added"] = {"later": 1}
    path.write_text(json.dumps(content))
    assert store.read(path) == record


def test_a_missing_folder_contains_no_records(tmp_path):
    assert store.read_all(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(schema=3), "schema is 3, and this version of bench reads up to 2"),
        (lambda content: content.pop("schema"), "schema is None"),
        (lambda content: content.pop("times"), "missing required field `times`"),
        (lambda content: content["spec"].update(sede=1), "unknown in spec: sede"),
        (
            lambda content: content["scores"]["validation"][0].update(step="1"),
            "Expected `int`, got `str` - at `$.scores.validation[0].step`",
        ),
        (lambda content: content["spec"].pop("seed"), "missing required field `seed`"),
        (lambda content: content.update(scores=[]), "got `array` - at `$.scores`"),
    ],
)
def test_a_broken_file_is_named_with_its_key(tmp_path, change, message):
    path = store.write(mocks.record(SPEC), tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BenchError) as raised:
        store.read(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"file cannot be written: .*; choose one with --results"):
        store.check_writable(tmp_path / "file")
    store.check_writable(tmp_path / "new")
    assert list((tmp_path / "new" / "records").iterdir()) == []


def test_a_record_of_another_run_under_a_runs_name_is_an_error(tmp_path):
    spec, other_spec = make_plan(RunRequest("mini", ["head"], ["ave"], [0, 1]))
    path = store.write(mocks.record(spec), tmp_path)
    taken = path.with_name(f"{schema.stem(other_spec)}.json")
    taken.write_bytes(path.read_bytes())
    with pytest.raises(BenchError, match=rf"{re.escape(str(taken))} is the record of another run, ave head seed 0"):
        store.record_of(tmp_path, other_spec)


def test_a_copy_is_found_where_the_file_of_the_runs_name_is_gone(tmp_path):
    (spec,) = make_plan(RunRequest("mini", ["head"], ["ave"]))
    path = store.write(mocks.record(spec), tmp_path)
    path.rename(path.with_name(f"{path.stem}~1.json"))
    assert store.record_of(tmp_path, spec) is None, "it was set aside"
    copy = path.with_name(f"{path.stem} (1).json")
    path.with_name(f"{path.stem}~1.json").rename(copy)
    assert store.record_of(tmp_path, spec) == mocks.record(spec)
    store.write(mocks.failed(spec), tmp_path)
    assert store.read(copy) == mocks.record(spec), "the copy stays"
