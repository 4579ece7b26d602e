"""`bench run` with made-up runs: what is done, skipped, kept and told."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import mocks
import pooled
import pytest

from bench import cli
from bench.config.budget import BudgetFit
from bench.config.plan import make_plan
from bench.config.run_options import RunOptions
from bench.errors import DataError, Terminated
from bench.execution import process_pool
from bench.records import store


class Runs:
    """Stands for `bench.execution.single_run`: makes records up, and notes what was asked for."""

    def __init__(self):
        self.done = []
        self.options = None
        self.raises = {}
        self.adapter = None

    def execute(self, spec, options):
        self.options = options
        if spec.label in self.raises:
            raise self.raises[spec.label]
        self.done.append(spec.label)
        return mocks.failed(spec) if spec.recipe["clip"] == 99 else mocks.record(spec, adapter=self.adapter)


@pytest.fixture
def runs(monkeypatch):
    runs = Runs()
    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=runs.execute))
    return runs


@pytest.fixture
def bench_run(mock_suite, runs, tmp_path):
    """Runs `bench run` with the mock suite and this folder for results."""

    def run(*more, methods="lora,cola", tasks="ave,avs"):
        argv = ["--methods", methods, "--tasks", tasks, "--suite", str(mock_suite), "--results", str(tmp_path / "out")]
        return cli.main(["run", *argv, *more])

    return run


def written(tmp_path):
    return {record.label for record in store.read_all(tmp_path / "out")}


def test_a_command_leaves_records_a_leaderboard_and_a_table(bench_run, runs, tmp_path, capsys):
    assert bench_run() == 0
    out = capsys.readouterr().out
    assert runs.done == ["ave lora seed 0", "ave cola seed 0", "avs lora seed 0", "avs cola seed 0"]
    assert written(tmp_path) == set(runs.done)
    assert (tmp_path / "out" / "leaderboard.md").exists()
    assert "[1/4] ave lora seed 0: accuracy 70.00\n" in out
    assert "suite mock, generated data v3 (world 7), not the benchmark's own" in out
    out_folder = tmp_path / "out"
    files = f"{out_folder / 'leaderboard.md'}, {out_folder / 'leaderboard.html'}"
    assert (
        f"`bench profile` measures a step by itself\nrecords: {out_folder / 'records'}\nleaderboard: {files}\n" in out
    )


def test_generated_data_is_reported_in_one_line(bench_run, capsys):
    bench_run()
    assert (
        "The data of suite mock is generated, not the benchmarks' own; "
        "for official releases: --data-root DIR --set data.source=official\n"
    ) in capsys.readouterr().out


def test_finished_runs_are_skipped_without_anything_heavy(bench_run, runs, capsys, monkeypatch):
    bench_run(tasks="ave")
    bench_run()
    assert runs.done[2:] == ["avs lora seed 0", "avs cola seed 0"]
    assert "4 runs, 2 of them finished earlier and skipped (--rerun repeats them)" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "bench.execution.single_run", None)  # importing it would fail
    assert bench_run() == 0
    assert "avs     cola" in capsys.readouterr().out


def test_rerun_repeats_them(bench_run, runs):
    bench_run(tasks="ave")
    bench_run("--rerun", tasks="ave")
    assert runs.done == ["ave lora seed 0", "ave cola seed 0"] * 2


@pytest.mark.parametrize("lists", [["lora,cola"], ["lora", "cola"], ["lora,", "cola"], ["lora", "--methods", "cola"]])
def test_lists_by_commas_or_spaces(runs, mock_suite, tmp_path, lists):
    more = ["--tasks", "ave", "--seeds", "0", "1,2", "--suite", str(mock_suite), "--results", str(tmp_path)]
    assert cli.main(["run", "--methods", *lists, *more]) == 0
    assert len(runs.done) == 6


def test_options_reach_the_run(bench_run, runs, tmp_path):
    bench_run("--device", "cpu", "--data-root", str(tmp_path))
    claimed_by = runs.options.claimed_by
    assert claimed_by and runs.options == RunOptions(tmp_path, "cpu", tmp_path / "out", claimed_by=claimed_by)
    bench_run("--save-adapters", "--rerun")
    assert replace(runs.options, claimed_by=None) == RunOptions(None, "auto", tmp_path / "out", save_adapters=True)
    assert runs.options.claimed_by not in (None, claimed_by), "each command's claims are its own"


def test_missing_adapters_are_saved_by_a_later_run(bench_run, runs, tmp_path):
    request = {"methods": "lora", "tasks": "ave"}
    assert bench_run(**request) == 0
    assert bench_run("--save-adapters", **request) == 1, "made-up runs save none"
    assert runs.done == ["ave lora seed 0"] * 2

    runs.adapter = "adapters/it"
    assert bench_run("--save-adapters", **request) == 0
    (tmp_path / "out" / "adapters" / "it").mkdir(parents=True)
    assert bench_run("--save-adapters", **request) == 0
    assert bench_run(**request) == 0
    assert runs.done == ["ave lora seed 0"] * 3


def test_the_fit_of_a_budget_is_shown(bench_run, runs, capsys, monkeypatch):
    def plan_within(request):
        return make_plan(request), [
            BudgetFit("ave", "lora", 1000, 1024, {"r": 12, "alpha": 6.0}),
            BudgetFit("ave", "cola", 1000, 995, {}),
        ]

    monkeypatch.setitem(sys.modules, "bench.config.budget", SimpleNamespace(plan_within=plan_within))
    assert bench_run("--budget", "1k", tasks="ave") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "budget 1,000 on ave: lora has 1,024 (+2.4%) with r=12, alpha=6.0" in lines
    assert "budget 1,000 on ave: cola has 995 (-0.5%)" in lines


def test_a_failed_run_is_kept_and_counts(bench_run, runs, tmp_path, capsys):
    assert bench_run("--set", "ave.clip=99", methods="lora") == 1
    assert written(tmp_path) == {"ave lora seed 0", "avs lora seed 0"}
    assert "ave lora seed 0 failed: the loss is not finite at step 3" in capsys.readouterr().out


def test_a_run_that_failed_earlier_is_skipped_named_and_counts(bench_run, runs, capsys):
    bench_run("--set", "ave.clip=99", methods="lora")
    capsys.readouterr()
    assert bench_run("--set", "ave.clip=99", methods="lora") == 1
    assert len(runs.done) == 2
    assert capsys.readouterr().err == (
        "1 of 2 runs failed (ave lora seed 0); the same command with --retry-failed repeats them\n"
    )


def test_an_interruption_keeps_what_is_finished(bench_run, runs, tmp_path, capsys):
    runs.raises["ave cola seed 0"] = KeyboardInterrupt()
    assert bench_run() == 1
    output = capsys.readouterr()
    assert written(tmp_path) == {"ave lora seed 0"}
    assert "ave     lora" in output.out
    assert (tmp_path / "out" / "leaderboard.md").exists()
    assert output.err == "stopped: 1 of 4 runs finished; the same command continues\n"
    runs.raises.clear()
    assert bench_run() == 0
    assert len(runs.done) == 4


def test_an_interruption_of_the_first_run(bench_run, runs, tmp_path, capsys):
    runs.raises["ave lora seed 0"] = KeyboardInterrupt()
    assert bench_run("--rerun") == 1
    assert capsys.readouterr().err == "stopped: 0 of 4 runs finished; the same command without --rerun continues\n"
    assert not (tmp_path / "out" / "leaderboard.md").exists()


def test_an_interrupted_rerun_explains_what_happens_to_the_other_runs(bench_run, runs, capsys):
    bench_run(tasks="ave")
    runs.raises["ave cola seed 0"] = KeyboardInterrupt()
    capsys.readouterr()
    assert bench_run("--rerun", tasks="ave") == 1
    message = (
        "stopped: 1 of 2 runs finished; the others keep their earlier records; the same command repeats all runs\n"
    )
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("again", [(), ("--rerun",)])
def test_runs_ended_by_a_signal_continue_with_retry_failed(bench_run, runs, capsys, again):
    runs.raises["ave lora seed 0"] = Terminated("signal 15, Terminated")
    assert bench_run(*again, tasks="ave", methods="lora") == 1
    same = "the same command with --retry-failed" + (" instead of --rerun" if again else "")
    assert capsys.readouterr().err == (
        f"1 of 1 runs failed (ave lora seed 0); {same} repeats them\nstopped: 0 of 1 runs finished; {same} continues\n"
    )
    runs.raises.clear()
    assert bench_run("--retry-failed", tasks="ave", methods="lora") == 0


def test_an_interruption_proposes_retry_failed_only_for_stopped_runs(bench_run, runs, capsys):
    runs.raises["ave cola seed 0"] = KeyboardInterrupt()
    assert bench_run("--set", "ave.clip=99", tasks="ave") == 1
    assert capsys.readouterr().err.endswith("stopped: 0 of 2 runs finished; the same command continues\n")


def test_missing_data_ends_the_command_and_keeps_what_is_finished(bench_run, runs, tmp_path, capsys):
    runs.raises["avs lora seed 0"] = DataError("x/y.wav of sample y is missing")
    assert bench_run() == 1
    output = capsys.readouterr()
    assert output.err == "bench: x/y.wav of sample y is missing\n"
    assert "ave     cola" in output.out
    assert len(written(tmp_path)) == 2


def test_a_record_that_cannot_be_written_is_printed(bench_run, runs, capsys, monkeypatch):
    def full(path, text):
        raise OSError("no space left on device")

    monkeypatch.setattr(store, "write_text", full)
    assert bench_run() == 1
    err = capsys.readouterr().err
    assert '"accuracy": 70.0' in err
    assert "the record of ave lora seed 0, printed above, cannot be written: no space left on device" in err


@pytest.mark.parametrize("reference", ["dora", "gone", "lora (r=12", "lora (r=12)"])
def test_an_unknown_reference_is_refused_before_any_run(bench_run, runs, tmp_path, capsys, reference):
    assert bench_run("--reference", reference) == 2
    assert capsys.readouterr().err == (
        f"bench: --reference {reference}: no row has this label; choose one of cola, lora\n"
    )
    assert runs.done == [] and not (tmp_path / "out").exists()


def test_the_reference_is_a_planned_method_or_a_row_of_earlier_records(bench_run, tmp_path, capsys):
    assert bench_run("--reference", "cola", tasks="ave") == 0
    assert bench_run("--set", "lora.r=12", methods="lora", tasks="ave") == 0
    assert bench_run("--reference", "lora (r=16)", methods="cola", tasks="ave") == 0
    assert "mean difference from lora (r=16)" in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    assert bench_run("--reference", "lora (r=13)", methods="cola", tasks="ave") == 2
    assert capsys.readouterr().err.endswith("choose one of cola, lora, lora (r=16)\n")


def test_a_results_folder_that_cannot_be_written_is_reported_before_any_run(bench_run, runs, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert bench_run() == 1
    assert runs.done == []
    assert "cannot be written" in capsys.readouterr().err


def test_a_broken_record_is_not_overwritten(bench_run, runs, tmp_path, capsys):
    bench_run(methods="lora", tasks="ave")
    (path,) = (tmp_path / "out" / "records").iterdir()
    path.write_text("{}")
    assert bench_run(methods="lora", tasks="ave") == 1
    assert f"{path} is not a readable record" in capsys.readouterr().err
    assert path.read_text() == "{}"
    assert bench_run("--rerun", methods="lora", tasks="ave") == 0


def test_quiet_shows_the_table_only(bench_run, capsys):
    bench_run("--quiet")
    assert capsys.readouterr().out.lstrip().startswith("suite mock")


def test_all_mistakes_are_reported_together(bench_run, runs, capsys):
    assert bench_run("--set", "cola.rr=8", "--seeds", "one", methods="loraa,cola", tasks="ave") == 2
    err = capsys.readouterr().err
    assert err.startswith("bench: 3 mistakes:\n  unknown method loraa: did you mean lora?")
    assert len(err.splitlines()) == 4
    assert runs.done == []


def test_a_command_without_methods_or_tasks(runs, mock_suite, capsys):
    assert cli.main(["run", "--suite", str(mock_suite)]) == 2
    err = capsys.readouterr().err
    assert "no methods given: choose from cola, gone, lora" in err
    assert "no tasks given" in err


@pytest.mark.parametrize("root", [[], ["--data-root", "nowhere"]])
def test_official_data_needs_its_folder(bench_run, runs, capsys, root):
    assert bench_run("--set", "data.source=official", *root) == 2
    assert "data.source=official needs --data-root" in capsys.readouterr().err


def test_parallel_jobs_write_the_same_records(bench_run, runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(process_pool, "execute_run", pooled.noted)
    monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
    request = {"methods": "lora,cola", "tasks": "ave"}
    assert bench_run("--jobs", "2", "--data-root", str(tmp_path), **request) == 0
    assert runs.done == [], "nothing is run in this process"
    out = capsys.readouterr().out
    assert "[1/2] ave " in out and "[2/2] ave " in out and ": accuracy 70.00\n" in out
    assert written(tmp_path) == {"ave lora seed 0", "ave cola seed 0"}
    assert (tmp_path / "out" / "leaderboard.md").exists()
    assert bench_run("--jobs", "2", "--data-root", str(tmp_path), **request) == 0
    assert "2 runs, 2 of them finished earlier" in capsys.readouterr().out
    assert bench_run("--jobs", "1", "--rerun", **request) == 0
    assert runs.done == ["ave lora seed 0", "ave cola seed 0"]


def test_failed_parallel_jobs_end_like_sequential_ones(bench_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(process_pool, "execute_run", pooled.killed)
    monkeypatch.setattr(process_pool, "make_data", lambda specs, options: None)
    more = ["--jobs", "2", "--seeds", "0,1", "--data-root", str(tmp_path)]
    assert bench_run(*more, methods="lora", tasks="ave") == 1
    assert (
        "ave lora seed 0 failed: out of memory, as it seems: its worker process ended by signal 9"
        in capsys.readouterr().out
    )
    monkeypatch.setattr(process_pool, "execute_run", pooled.data_missing)
    assert bench_run(*more, "--rerun", methods="lora", tasks="ave") == 1
    assert capsys.readouterr().err == "bench: x/y.wav of sample y is missing\n"


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "1.5", ""])
def test_jobs_is_a_whole_number_from_1(bench_run, runs, capsys, jobs):
    assert bench_run("--jobs", jobs) == 2
    assert capsys.readouterr().err == f"bench: --jobs must be a whole number of at least 1, not {jobs}\n"
    assert runs.done == []
