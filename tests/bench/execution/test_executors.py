"""What holds of every executor, and an executor of another package on the command line and in the Python API."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import mocks
import pooled
import pytest

import bench
from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.errors import UsageError
from bench.execution import process_pool
from bench.execution.executor import executor_names, make_executor, options_of
from bench.execution.local_executor import LocalExecutor
from bench.execution.ray_executor import RayExecutor
from bench.execution.sweep import sweep
from bench.records import store
from bench.tuning.search import searches, tune

EXECUTORS = {
    "local": LocalExecutor(),
    "local, two at a time": LocalExecutor(2),
    "ray": RayExecutor("local"),
    "signed": mocks.Signed("me"),
}


@pytest.fixture
def made_up_runs(monkeypatch):
    """Runs whose records are made up, in every process that does runs."""
    module = SimpleNamespace(execute=lambda spec, options: pooled.noted(spec, options, 2))
    monkeypatch.setitem(sys.modules, "bench.execution.single_run", module)
    monkeypatch.setattr(process_pool, "execute_run", pooled.noted)
    monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
    support = str(Path(pooled.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([support, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # or Ray leaves a token in the home folder


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_does_each_run_once(name, made_up_runs, mock_suite, tmp_path):
    if name == "ray" and not find_spec("ray"):
        pytest.skip("Ray is not installed")
    executor = make_executor(EXECUTORS[name])
    plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(4)))
    records = list(sweep(plan, tmp_path / "out", RunOptions(tmp_path, "cpu"), executor))
    assert sorted(record.spec.seed for record in records) == [0, 1, 2, 3]
    assert {record.status for record in records} == {"ok"}
    assert {record.id: record for record in store.read_all(tmp_path / "out")} == {
        record.id: record for record in records
    }
    assert {path.name for path in tmp_path.iterdir() if path.name.isdigit()} == {"0", "1", "2", "3"}, "each was done"
    assert all(record.environment.jobs >= 1 for record in records)
    assert not (tmp_path / "out" / "claims").exists()
    assert list(executor.execute(lambda: None, RunOptions(tmp_path), [])) == [], "nothing to begin is no error"


def test_an_executor_of_another_package_is_used_by_name(made_up_runs, mock_suite, tmp_path, capsys):
    arguments = ["--methods", "lora", "--tasks", "ave", "--suite", str(mock_suite), "--data-root", str(tmp_path)]
    command = ["run", *arguments, "--results", str(tmp_path / "out"), "--executor", "signed", "--signed-by", "you"]
    assert cli.main(command) == 0, capsys.readouterr().err
    (record,) = store.read_all(tmp_path / "out")
    assert record.environment.device == "you"
    more = {"suite": str(mock_suite), "results": tmp_path / "out", "data_root": tmp_path}
    (record,) = bench.run("lora", "ave", seeds=1, executor="signed", **more)
    assert record.environment.device == "nobody"
    (record,) = bench.run("lora", "ave", seeds=2, executor=mocks.Signed("they"), **more)
    assert record.environment.device == "they"


def test_tune_and_check_take_executors_as_run_does(made_up_runs, mock_suite, tmp_path, capsys):
    search = searches(make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"])))
    list(tune(search, 2, tmp_path / "trials", RunOptions(tmp_path), mocks.Signed("me")))
    assert {record.environment.device for record in store.read_all(tmp_path / "trials")} == {"me"}
    for command in ("run", "tune", "check"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        help_text = capsys.readouterr().out
        assert all(flag in help_text for flag in ("--jobs", "--gpus-per-run", "--signed-by", "--executor NAME")), (
            command
        )
    assert "(default: 2)" in help_text.partition("  --jobs N")[2].partition("  --")[0], "check does two runs at a time"


@pytest.mark.parametrize("command", ["run", "tune", "check --update"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--executor lokal", "unknown executor lokal: did you mean local? known: local, ray, signed"),
        ("--signed-by me", "--signed-by: only with --executor signed"),
        ("--executor signed --jobs 2", "--jobs: only with --executor local"),
        ("--executor signed --signed-by=", "--signed-by is a name"),
        ("--executor signed --pause 0", "--pause cannot be 0: it must be above 0"),
        ("--executor signed --pause abc", "--pause cannot be abc: could not convert string to float: 'abc'"),
        ("--executor signed --pause=", "--pause cannot be empty: could not convert string to float: ''"),
        ("--executor local --jobs 1025", "--jobs must be a whole number from 1 to 1024, not 1025"),
    ],
)
def test_invalid_options_are_one_message(command, options, message, mock_suite, tmp_path, capsys):
    arguments = ["--methods", "lora", "--tasks", "ave", "--suite", str(mock_suite), "--results", str(tmp_path / "out")]
    assert cli.main([*command.split(), *arguments, *options.split()]) == 2
    assert capsys.readouterr().err == f"bench: {message}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("mock_registry")
def test_the_api_refuses_what_is_no_executor():
    with pytest.raises(UsageError, match="is not an executor: pass one of local, ray, signed"):
        make_executor(3)
    with pytest.raises(UsageError, match="jobs=2: only with executor='local'"):
        bench.run("lora", "ave", jobs=2, executor="signed")
    with pytest.raises(UsageError, match="jobs must be a whole number from 1 to 1024, not 0"):
        bench.run("lora", "ave", jobs=0)


def test_a_broken_executor_is_an_error_only_where_it_is_requested(monkeypatch, mock_suite, tmp_path, capsys):
    broken = EntryPoint("broken", "no_such_package.executor:Broken", "bench.executors")
    points = {**mocks.ENTRY_POINTS, "bench.executors": [*mocks.ENTRY_POINTS["bench.executors"], broken]}
    monkeypatch.setattr("bench.registry.entry_points", lambda group: points[group])
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert "broken" in capsys.readouterr().out
    assert cli.main(["run", "--executor", "broken"]) == 2
    assert "executor broken cannot be imported" in capsys.readouterr().err
    assert executor_names() == ["local", "broken", "ray", "signed"]


def test_parsing_and_listing_import_neither_ray_nor_torch():
    code = (
        "import sys; from bench import cli\n"
        "for asked in ['run', '--help'], ['tune', '--help'], ['list', 'executors']:\n"
        "    try: cli.main(asked)\n"
        "    except SystemExit: pass\n"
        "assert not {'ray', 'torch'} & set(sys.modules), set(sys.modules)\n"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert "--gpus-per-run" in completed.stdout


def test_options_are_the_fields_that_declare_one():
    assert [(option.name, option.flag) for option in options_of(RayExecutor)] == [
        ("address", "--address"),
        ("gpus", "--gpus-per-run"),
        ("cpus", "--cpus-per-run"),
        ("memory", "--memory-per-run"),
    ]
