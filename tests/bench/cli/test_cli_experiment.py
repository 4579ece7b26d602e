"""`bench run` with an experiment file and with `--dry-run`: what is done, skipped, refused and printed."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import mocks
import pytest

import bench
from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.records import store
from bench.report.formatting import NONE

STUDY = """\
suite = "mock.toml"
tasks = ["ave"]

[variations.wide]
method = "cola"
set.cola.r = 32

[[stages]]
name = "main"
methods = ["lora", "wide"]

[[stages]]
name = "seeds"
methods = ["lora"]
seeds = [0, 1, 2]
"""


@pytest.fixture
def done_runs(monkeypatch):
    """The labels of the runs that were done, in their order."""
    labels = []

    def execute(spec, options):
        labels.append(spec.label)
        return mocks.record(spec)

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    return labels


@pytest.fixture
def bench_run(mock_suite, done_runs, tmp_path, monkeypatch):
    """Run `bench run` with these arguments, and a results folder `out`."""
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.setattr("bench.execution.estimate.results_folder", lambda: tmp_path / "shipped")
    return lambda *words: cli.main(["run", *map(str, words), "--results", str(tmp_path / "out")])


def test_the_runs_of_a_file_are_done_stage_by_stage(bench_run, done_runs, tmp_path, capsys):
    assert bench_run(tmp_path / "study.toml") == 0
    assert done_runs == ["ave lora seed 0", "ave cola seed 0", "ave lora seed 1", "ave lora seed 2"]
    out = capsys.readouterr().out
    assert "[2/4] main: ave wide seed 0: accuracy 70.00\n" in out
    assert "[3/4] seeds: ave lora seed 1: accuracy 70.00\n" in out
    assert out.count("\nleaderboard: ") == 2, "at the end of each stage"


def test_finished_runs_are_skipped_and_stages_can_be_chosen(bench_run, done_runs, tmp_path, capsys):
    assert bench_run(tmp_path / "study.toml", "--stage", "seeds") == 0
    assert done_runs == [f"ave lora seed {seed}" for seed in range(3)]
    assert bench_run(tmp_path / "study.toml") == 0
    assert done_runs[3:] == ["ave cola seed 0"]
    assert "4 runs, 3 of them finished earlier and skipped" in capsys.readouterr().out
    assert bench_run(tmp_path / "study.toml") == 0 and len(done_runs) == 4


def test_a_file_is_done_from_python_too(bench_run, done_runs, tmp_path):
    records = bench.run_experiment(tmp_path / "study.toml", stages="main", results=tmp_path / "out")
    assert [record.label for record in records] == done_runs == ["ave lora seed 0", "ave cola seed 0"]
    records = bench.run_experiment(tmp_path / "study.toml", results=tmp_path / "out")
    assert len(records) == len(done_runs) == 4, "two were finished"


def test_an_interrupted_file_continues(bench_run, done_runs, tmp_path, monkeypatch):
    def interrupt(spec, options):
        if spec.seed == 1:
            raise KeyboardInterrupt
        return mocks.record(spec)

    execute = sys.modules["bench.execution.single_run"].execute
    monkeypatch.setattr(sys.modules["bench.execution.single_run"], "execute", interrupt)
    assert bench_run(tmp_path / "study.toml") == 1
    monkeypatch.setattr(sys.modules["bench.execution.single_run"], "execute", execute)
    assert bench_run(tmp_path / "study.toml") == 0
    assert done_runs == ["ave lora seed 1", "ave lora seed 2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "lora", "--set", "lora.r=2"), "--methods, --set: not with an experiment file; "),
        (("--suite", "mini"), "--suite: not with an experiment file; "),
        (("--stage", "mian,main"), "--stage mian: "),
    ],
)
def test_options_that_choose_runs_are_refused_with_a_file(bench_run, done_runs, tmp_path, capsys, words, message):
    assert bench_run(tmp_path / "study.toml", *words) == 2
    assert capsys.readouterr().err.startswith(f"bench: {message}") and not done_runs


def test_what_is_no_experiment_file_is_refused(bench_run, capsys):
    assert bench_run("lora") == 2
    assert "lora is not an experiment file, which ends in .toml; name methods with --methods" in capsys.readouterr().err
    assert bench_run("--methods", "lora", "--tasks", "ave", "--stage", "main") == 2
    assert "--stage: only with an experiment file" in capsys.readouterr().err


def test_a_mistake_in_a_later_stage_is_reported_before_the_first_run(bench_run, done_runs, tmp_path, capsys):
    (tmp_path / "study.toml").write_text(STUDY.replace("seeds = [0, 1, 2]", "set.lora.r = 0"))
    assert bench_run(tmp_path / "study.toml", "--stage", "main") == 2
    assert "study.toml: stages.seeds: lora: r must be at least 1, not 0" in capsys.readouterr().err
    assert not done_runs and not (tmp_path / "out").exists()


def seconds_of(spec, seconds, **changes):
    record = mocks.record(spec)
    return replace(record, times=replace(record.times, total=seconds), **changes)


def test_a_dry_run_prints_the_plan_with_times_of_earlier_records(bench_run, done_runs, mock_suite, tmp_path, capsys):
    lora, narrow = (
        make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [0, 7, 8, 9], [f"lora.r={r}"])) for r in (16, 3)
    )
    for spec, seconds in zip(lora, (40.0, 60.0, 1000.0, 50.0), strict=True):
        store.write(seconds_of(spec, seconds), tmp_path / "out")
    for spec in narrow:  # nearer ones count
        store.write(seconds_of(spec, 7.0), tmp_path / "out")
    assert bench_run(tmp_path / "study.toml", "--dry-run", "--jobs", "2") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [
        f"main ave lora 0 1 1 55 s {NONE} 4 records",
        "main ave wide 0 1 0 unknown unknown no comparable record",
        "seeds ave lora 1-2 2 0 55 s 2 min 4 records",
        "",
        "4 runs: 1 finished, 3 to do",
        "requested again by a later stage or under another label, and done once: 1 run",
        "estimated time: 2 min, one run at a time; 55 s with 2 at a time; without 1 run of unknown time",
        f"estimated from the median wall times of 4 records in {tmp_path / 'out'} (cpu, 2 threads, 1 at a time)",
    ]
    assert not done_runs


def test_times_of_other_settings_and_of_the_package_are_used_and_named(bench_run, mock_suite, tmp_path, capsys):
    specs = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"], [0], ["cola.r=3"]))
    environment = replace(mocks.ENVIRONMENT, processor="EPYC", jobs=4)
    store.write(seconds_of(specs[0], 9000.0, environment=environment), tmp_path / "shipped" / "mock")
    assert bench_run(tmp_path / "study.toml", "--dry-run", "--stage", "main") == 0
    out = capsys.readouterr().out
    assert "2.5 h  1 record with other settings\n" in out
    assert f"1 record in {tmp_path / 'shipped' / 'mock'} (cpu, EPYC, 2 threads, 4 at a time)\n" in out
    assert not (tmp_path / "out").exists(), "a dry run writes nothing"


def test_runs_that_failed_or_took_other_epochs_or_were_resumed_tell_no_times(bench_run, mock_suite, tmp_path, capsys):
    request = RunRequest(str(mock_suite), ["lora"], ["ave"], [7, 8])
    failed, resumed = make_plan(request)
    (longer,) = make_plan(replace(request, seeds=[9], overrides=["ave.epochs=9"]))
    store.write(mocks.failed(failed), tmp_path / "out")
    times = replace(mocks.record(resumed).times, resumed=1)
    store.write(replace(mocks.record(resumed), times=times), tmp_path / "out")
    store.write(mocks.record(longer), tmp_path / "out")
    assert bench_run("--methods", "lora", "--tasks", "ave", "--suite", mock_suite, "--dry-run", "--seeds", "0,2,3") == 0
    out = capsys.readouterr().out
    assert out.split()[7:].count("unknown") == 2 and "ave     lora      0, 2-3" in out
    assert "stage" not in out
    assert "estimated time: unknown, since there are no records of comparable runs\n" in out


def test_runs_of_another_world_take_as_long(bench_run, mock_suite, tmp_path, capsys):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    store.write(seconds_of(spec, 30.0), tmp_path / "out")
    words = ("--methods", "lora", "--tasks", "ave", "--suite", mock_suite, "--worlds", "7,8", "9", "--seeds", "0,1")
    assert bench_run(*words, "--dry-run") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:4] == ["task", "method", "worlds", "seeds"]
    assert " ".join(lines[2]) == "ave lora 7-9 0-1 6 1 30 s 2 min 1 record", "that of the suite's world 7 is finished"
    assert bench_run(*words, "--seeds", "0") == 0
    progress = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[1/5]")]
    assert progress == ["[1/5] ave lora world 7 seed 1: accuracy 70.00"]
    status = ["status", "--results", str(tmp_path / "out"), *map(str, words)]
    assert cli.main(status) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["ave", "lora", "6", "0", "0", "0", "6"]


def test_a_dry_run_says_which_finished_runs_failed(bench_run, mock_suite, tmp_path, capsys):
    words = ("--methods", "lora", "--tasks", "ave", "--suite", mock_suite, "--dry-run")
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    store.write(mocks.failed(spec), tmp_path / "out")
    assert bench_run(*words) == 0
    assert (
        "1 run: 1 finished, 0 to do; 1 of the finished failed (--retry-failed repeats them)" in capsys.readouterr().out
    )
    assert bench_run(*words, "--retry-failed") == 0
    assert "1 run: 0 finished, 1 to do\n" in capsys.readouterr().out
