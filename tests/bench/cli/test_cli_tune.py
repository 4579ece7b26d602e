"""`bench tune` with made-up runs: what it tells, writes and refuses."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import mocks
import pytest

from bench import cli
from bench.config.tuned_settings import read_tuned
from bench.errors import DataError


@pytest.fixture
def runs(monkeypatch):
    """Stands for `bench.execution.single_run`: what was done, and after how many runs ^C comes."""
    runs = SimpleNamespace(done=[], stop_after=None, trial=mocks.trial)

    def execute(spec, options):
        if len(runs.done) == runs.stop_after:
            raise KeyboardInterrupt
        runs.done.append(spec)
        return runs.trial(spec)

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    return runs


@pytest.fixture
def bench_tune(mock_suite, runs, tmp_path):
    """Runs `bench tune` with the mock suite and this folder for results."""

    def run(*more, methods="lora,cola", tasks="ave", trials="3"):
        argv = ["--methods", methods, "--tasks", tasks, "--suite", str(mock_suite), "--results", str(tmp_path / "out")]
        return cli.main(["tune", *argv, "--trials", trials, *more])

    return run


def test_trials_are_shown_and_the_best_is_written(bench_tune, tmp_path, capsys):
    assert bench_tune("--seeds", "1,0", "--epochs", "2") == 0
    out, err = capsys.readouterr()
    file = tmp_path / "out" / "tuned.toml"
    assert err == ""
    assert (
        out
        == f"""\
6 trials, 3 per method and task, each with 2 epochs, seeds 0, 1
Chosen by validation score; no test split is scored.
[1/6] ave lora lr_adapter=0.001: validation accuracy 59.04
[2/6] ave cola lr_adapter=0.001: validation accuracy 59.04
[3/6] ave lora lr_adapter=0.000316: validation accuracy 69.05
[4/6] ave cola lr_adapter=0.000316: validation accuracy 69.05
[5/6] ave lora lr_adapter=0.00316: validation accuracy 49.05
[6/6] ave cola lr_adapter=0.00316: validation accuracy 49.05

suite mock, generated data v3 (world 7), not the benchmark's own: validation scores

task    method    best                 metric      score    suite's    failed
------  --------  -------------------  --------  -------  ---------  --------
ave     lora      lr_adapter=0.000316  accuracy    69.05      59.04    0 of 3
ave     cola      lr_adapter=0.000316  accuracy    69.05      59.04    0 of 3

records of the trials: {tmp_path / "out" / "tuning" / "records"}
settings, for bench run --settings: {file}
"""
    )
    tuned = read_tuned(file)
    assert tuned.values == {("ave", "lora"): {"lr_adapter": 3.16e-4}, ("ave", "cola"): {"lr_adapter": 3.16e-4}}
    assert (tuned.tuning.suite, tuned.tuning.trials, tuned.tuning.epochs, tuned.tuning.seeds) == ("mock", 3, 2, (0, 1))
    about = (
        "# lr_adapter from 0.0001 to 0.01 (log); validation accuracy 69.05; with the suite's lr_adapter=0.001: 59.04"
    )
    assert file.read_text().count(about + "\nlr_adapter = 0.000316\n") == 2
    assert not (tmp_path / "out" / "leaderboard.md").exists() and not (tmp_path / "out" / "records").exists()


def test_bench_run_accepts_the_written_settings(bench_tune, mock_suite, runs, tmp_path, capsys):
    bench_tune()
    best = {spec.id for spec in runs.done if spec.recipe["lr_adapter"] == 3.16e-4}
    runs.done.clear()
    runs.trial = mocks.record
    argv = ["--methods", "lora,cola", "--tasks", "ave", "--suite", str(mock_suite), "--results", str(tmp_path / "out")]
    assert cli.main(["run", *argv, "--settings", str(tmp_path / "out" / "tuned.toml")]) == 0
    assert {spec.id for spec in runs.done} == best, "and the trial's record is none of the run's"
    assert "lora" in (tmp_path / "out" / "leaderboard.md").read_text()


def test_quiet_keeps_the_table(bench_tune, capsys):
    assert bench_tune("--quiet") == 0
    out = capsys.readouterr().out
    assert "[1/6]" not in out and "lr_adapter=0.000316" in out


def test_failed_trials_are_reported_and_counted(bench_tune, tmp_path, capsys):
    assert bench_tune("--set", "train.lr_adapter=3e-3", methods="lora") == 0
    out, err = capsys.readouterr()
    assert "[3/3] ave lora lr_adapter=0.00949 failed: seed 0: the loss is not finite at step 3\n" in out
    assert "1 of 3\n" in out
    assert "lora on ave: 1 of 3 trials failed, counted as the worst\n" in err
    assert "; 1 of 3 trials failed\n" in (tmp_path / "out" / "tuned.toml").read_text()


@pytest.mark.parametrize("reason", ["out of memory: no more", "its worker process ended by signal 9, Killed"])
def test_runs_that_the_machine_failed_are_repeated(bench_tune, runs, monkeypatch, tmp_path, capsys, reason):
    trial = runs.trial
    short = iter([True, False, False])
    monkeypatch.setattr(runs, "trial", lambda spec: mocks.failed(spec, reason) if next(short, False) else trial(spec))
    assert bench_tune(methods="lora") == 1
    err = capsys.readouterr().err
    assert "the machine failed runs of 1 trial, and nothing is written for their methods: the same" in err
    assert not (tmp_path / "out" / "tuned.toml").exists(), "it had fewer trials than others"
    assert bench_tune(methods="lora") == 0, "the other trials are not done again"
    again = capsys.readouterr().out
    assert "validation accuracy 59.54" in again.splitlines()[2]
    assert "failed" not in again.split("suite mock")[0]


def test_nothing_is_written_for_a_method_whose_trials_all_failed(bench_tune, runs, tmp_path, capsys):
    runs.trial = lambda spec: mocks.failed(spec) if spec.method == "cola" else mocks.trial(spec)
    assert bench_tune() == 1
    err = capsys.readouterr().err
    assert "cola on ave: all trials failed, so no settings are written; the first one: seed 0: the loss is not" in err
    assert [*read_tuned(tmp_path / "out" / "tuned.toml").values] == [("ave", "lora")]


def test_a_best_value_at_the_edge_is_warned_of(bench_tune, tmp_path, capsys):
    assert bench_tune("--set", "lora.lr_adapter=3e-3", trials="8") == 0
    err = capsys.readouterr().err
    assert "lora on ave: the best lr_adapter, 0.0003" in err
    assert (
        "is at the edge of its range (lr_adapter from 0.0003 to 0.03 (log))" in err and "with lora.lr_adapter=" in err
    )
    assert "cola on ave: the best" not in err
    assert (tmp_path / "out" / "tuned.toml").read_text().count("; lr_adapter at the edge of its range") == 1


def test_the_suites_values_may_be_the_best(bench_tune, tmp_path):
    bench_tune("--set", "train.lr_adapter=3e-4")
    text = (tmp_path / "out" / "tuned.toml").read_text()
    assert "validation accuracy 70.00, with the suite's own values\nlr_adapter = 0.0003\n" in text


def test_more_tasks_are_added_to_the_file_but_other_tunings_are_not(bench_tune, runs, tmp_path, capsys):
    file = tmp_path / "out" / "tuned.toml"
    bench_tune()
    bench_tune(tasks="avs", methods="lora")
    assert [*read_tuned(file).values] == [("ave", "lora"), ("ave", "cola"), ("avs", "lora")]
    before, run_count = file.read_bytes(), len(runs.done)
    capsys.readouterr()
    for more in (["--epochs", "3"], ["--seeds", "1"], ["--trials", "4"], ["--set", "ave.batch_size=2"]):
        assert bench_tune(*more) == 2
        assert f"{file} is from another search" in capsys.readouterr().err
    assert file.read_bytes() == before and len(runs.done) == run_count, "reported before any run"
    assert bench_tune("--trials", "4", "--out", str(tmp_path / "four.toml")) == 0
    assert read_tuned(tmp_path / "four.toml").tuning.trials == 4


def test_methods_are_tuned_at_the_size_of_a_budget(runs, tmp_path, capsys):
    argv = ["--methods", "lora,dora", "--tasks", "ave", "--results", str(tmp_path)]
    assert cli.main(["tune", *argv, "--trials", "2", "--budget", "cola"]) == 0
    assert "budget 107,952 on ave: lora has 110,592 (+2.4%) with r=12, alpha=6.0\n" in capsys.readouterr().out
    assert [(spec.method, spec.settings["r"]) for spec in runs.done] == [("lora", 12), ("dora", 11)] * 2
    assert read_tuned(tmp_path / "tuned.toml").tuning.budget == "cola"
    assert cli.main(["tune", *argv, "--trials", "2"]) == 2
    assert 'is from another search (budget "cola", now "none")' in capsys.readouterr().err


def test_an_interrupted_search_continues(bench_tune, runs, tmp_path, capsys):
    runs.stop_after = 3
    assert bench_tune() == 1
    out, err = capsys.readouterr()
    assert err == "stopped: 2 of 6 trials ended; the same command continues\n"
    assert not (tmp_path / "out" / "tuned.toml").exists()
    runs.stop_after = None
    assert bench_tune() == 0
    assert len(runs.done) == 6 and capsys.readouterr().out.startswith(out)


def test_missing_data_ends_the_command(bench_tune, runs, capsys):
    def trial(spec):
        raise DataError("x/y.wav is missing")

    runs.trial = trial
    assert bench_tune() == 1
    assert "bench: x/y.wav is missing\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0"], "--trials must be a whole number of at least 1, not 0"),
        (["--epochs", "1.5"], "--epochs must be a whole number of at least 1, not 1.5"),
        (["--jobs", "x"], "--jobs must be a whole number of at least 1, not x"),
        (["--trails", "3"], "unknown option --trails: did you mean --trials"),
        (["--settings", "x.toml"], "unknown option --settings"),
        (["--methods", "loora"], "unknown method loora: did you mean lora?"),
        (["--set", "data.source=official"], "data.source=official needs --data-root"),
    ],
)
def test_wrong_commands(bench_tune, runs, capsys, more, message):
    assert bench_tune(*more) == 2
    assert message in capsys.readouterr().err and not runs.done


STUDY = """
suite = "mock.toml"
tasks = ["ave"]
methods = ["lora"]
settings = "tuned.toml"

[[stages]]
name = "main"

[[stages]]
name = "wide"
settings = "tuned-wide.toml"
set.lora.r = 8

[[searches]]
settings = "tuned.toml"
methods = ["lora", "cola"]
seeds = [100]
trials = 2

[[searches]]
settings = "tuned-wide.toml"
methods = ["lora"]
seeds = [100]
trials = 1
set.lora.r = 8
"""


@pytest.fixture
def study(mock_suite):
    """An experiment file beside the mock suite, with two searches."""
    path = mock_suite.parent / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def tune_study(study, runs, tmp_path):
    """Runs `bench tune` with the experiment file and this folder for results."""
    return lambda *more: cli.main(["tune", str(study), "--results", str(tmp_path / "out"), *more])


def test_the_searches_of_an_experiment_file_are_done_in_order_and_once(tune_study, study, runs, tmp_path, capsys):
    assert tune_study() == 0
    assert [(spec.method, spec.method_settings.get("r")) for spec in runs.done][-1] == ("lora", 8) and len(
        runs.done
    ) == 5
    usual, wide = (read_tuned(study.with_name(name)) for name in ("tuned.toml", "tuned-wide.toml"))
    assert {*usual.values} == {("ave", "lora"), ("ave", "cola")} and {*wide.values} == {("ave", "lora")}
    assert (usual.tuning.seeds, usual.tuning.trials, wide.tuning.trials) == ((100,), 2, 1)
    assert (usual.tuning.set, wide.tuning.set) == ((), ("lora.r=8",))
    out = capsys.readouterr().out
    assert f"search 1 of 2, for {study.with_name('tuned.toml')}: lora, cola on ave" in out and "search 2 of 2" in out
    assert f"settings, for bench run {study}: " in out
    assert tune_study() == 0 and len(runs.done) == 5
    assert capsys.readouterr().out.count("has all settings of its search; to search again, delete it") == 2
    assert cli.main(["run", str(study), "--results", str(tmp_path / "out"), "--dry-run"]) == 0


def test_only_the_searches_for_some_stages(tune_study, study, runs):
    assert tune_study("--stage", "wide") == 0
    assert len(runs.done) == 1 and not study.with_name("tuned.toml").exists()


def test_an_interrupted_search_of_a_file_continues_with_its_own_trials(tune_study, runs, capsys):
    runs.stop_after = 3
    assert tune_study() == 1
    assert "stopped: 2 of 4 trials ended; the same command continues" in capsys.readouterr().err
    runs.stop_after = None
    assert tune_study() == 0 and len(runs.done) == 5


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (("", ""), ["--trials", "3", "--methods", "lora"], "--methods, --trials: not with an experiment file; "),
        (("", ""), ["--stage", "mian"], "--stage mian: "),
        (("[[searches]]", "[[search]]"), [], "unknown key search: did you mean searches?"),
        (("trials = 2", "trials = 0"), [], "searches.tuned.toml.trials must be at least 1"),
        (
            ('methods = ["lora"]\nseeds = [100]', 'methods = ["cola"]\nseeds = [100]'),
            [],
            "searches.tuned-wide.toml.set.lora",
        ),
        (('settings = "tuned-wide.toml"', 'settings = "mini"'), ["--stage", "wide"], "searches.mini"),
        (('name = "wide"\nsettings = "tuned-wide.toml"', 'name = "wide"\nsettings = "mini"'), [], "mini"),
    ],
)
def test_wrong_searches(tune_study, study, runs, capsys, change, more, message):
    study.write_text(STUDY.replace(*change))
    assert tune_study(*more) == 2 and not runs.done
    error = capsys.readouterr().err
    assert message in error and str(study) in error


def test_a_search_of_which_the_machine_failed_trials_is_not_finished(tune_study, study, runs, capsys):
    trial, short = runs.trial, iter([True])
    runs.trial = lambda spec: mocks.failed(spec, "out of memory: no more") if next(short, False) else trial(spec)
    assert tune_study("--stage", "main") == 1
    assert {*read_tuned(study.with_name("tuned.toml")).values} == {("ave", "cola")}
    assert tune_study("--stage", "main") == 0
    assert {*read_tuned(study.with_name("tuned.toml")).values} == {("ave", "lora"), ("ave", "cola")}
    assert "has all settings" not in capsys.readouterr().out


def test_another_search_is_refused_with_its_place_before_any_trial(tune_study, study, runs, capsys):
    assert tune_study("--stage", "main") == 0
    study.write_text(STUDY.replace("trials = 2", "trials = 3"))
    done = len(runs.done)
    assert tune_study() == 2 and len(runs.done) == done
    error = capsys.readouterr().err
    assert f"{study}: searches.tuned.toml: " in error and "trials 2, now 3" in error
    assert "write to another file, or delete this one" in error and "--out" not in error


def test_seeds_that_are_compared_too_are_warned_of(tune_study, study, caplog):
    study.write_text(STUDY.replace("seeds = [100]", "seeds = [0, 100]", 1))
    assert tune_study("--stage", "main") == 0
    assert f"{study}: searches.tuned.toml.seeds: 0 is compared in stages too: search with other seeds" in caplog.text


def test_a_folder_that_is_not_there_is_refused_before_any_trial(tune_study, study, runs, capsys):
    study.write_text(STUDY.replace('"tuned-wide.toml"', '"sbu/tuned.toml"'))
    assert tune_study() == 2 and not runs.done
    assert f"{study}: searches.sbu/tuned.toml: " in (error := capsys.readouterr().err) and "there is no folder" in error


def test_a_file_without_searches_has_nothing_to_tune(tune_study, study, runs, capsys):
    study.write_text(STUDY[: STUDY.index("[[searches]]")].replace('settings = "tuned.toml"\n', ""))
    assert tune_study() == 2 and "there are no [[searches]]" in capsys.readouterr().err
    study.write_text(
        STUDY.replace('[[searches]]\nsettings = "tuned-wide.toml"', '[[searches]]\nsettings = "elsewhere.toml"')
    )
    assert tune_study("--stage", "wide") == 0
    assert "these stages use settings of no search: there is nothing to do" in capsys.readouterr().out
