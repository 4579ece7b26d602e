"""Folders whose names are bytes that are no UTF-8, as in Latin-1: Linux has them, and libraries may not."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import mocks
import pytest

from bench import load_adapter
from bench.config.plan import RunRequest, make_plan
from bench.execution.finished_runs import look_up
from bench.execution.sweep import sweep
from bench.records import predictions, schema, store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other file systems have no such names")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / os.fsdecode(b"r\xe9sultats")


def test_a_run_finds_its_data_there_and_leaves_all_of_its_files(options, folder):
    changes = ["ave.epochs=1", *mocks.EACH_ONCE]
    plan = make_plan(RunRequest("mini", ["lora"], ["ave"], [0], changes))
    run_options = replace(options, data_root=folder, results=folder / "out", save_adapters=True)
    (record,) = sweep(plan, folder / "out", run_options)
    assert record.status == "ok" and record.adapter, record.traceback
    assert store.read_all(folder / "out") == [record]
    assert load_adapter(folder / "out" / record.adapter)
    assert predictions.load(folder / "out", plan[0], "test", is_first=True)
    assert list(look_up(plan, folder / "out", folder).finished) == [record.id]


def test_a_record_may_name_such_a_file(mock_suite, folder):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    record = replace(mocks.failed(spec, f"{folder} is broken"), traceback=f"in {folder}", tuned={"file": str(folder)})
    store.write(record, folder)
    loaded = store.record_of(folder, spec)
    assert loaded and loaded.reason.endswith("r\\udce9sultats is broken")
    assert schema.dumps(loaded) == schema.dumps(record)
