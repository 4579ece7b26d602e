"""The file of tuned settings: as it is written, read, taken by runs, and named by their records."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from types import SimpleNamespace

import made_standings
import mocks
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

import bench
from bench import cli
from bench.config.plan import RunRequest, make_plan, with_values
from bench.config.suite import read_toml
from bench.config.tuned_settings import Tuning, check_mergeable, read_tuned, write_tuned
from bench.errors import BenchError, UsageError
from bench.records import store

TUNING = Tuning("mock", 3, "suite", (0, 1), (), "2026-01-01T00:00:00+00:00", "0.1.0", data_version=3)
TUNED = {("ave", "lora"): {"lr_adapter": 0.0123}, ("ave", "cola"): {"lr_adapter": 2e-05, "r": 8}}
ABOUT = dict.fromkeys(TUNED, "validation accuracy 43.50")


@pytest.fixture
def file(tmp_path, mock_registry):
    """A file that `bench tune` might have written, for two methods on one task."""
    path = tmp_path / "out" / "tuned.toml"
    write_tuned(path, TUNING, TUNED, ABOUT)
    return path


@pytest.fixture
def planned(mock_suite, file):
    """Makes plans with the file."""

    def make(methods="lora cola", tasks="ave", *changes, tuned=True):
        settings = read_tuned(file) if tuned else None
        return make_plan(RunRequest(str(mock_suite), methods.split(), tasks.split(), [0], changes, tuned=settings))

    return make


@pytest.fixture
def runs(monkeypatch):
    """Stands for `bench.execution.single_run`: a list of what was done."""
    specs = []

    def execute(spec, options):
        specs.append(spec)
        return mocks.failed(spec) if spec.recipe["clip"] == 99 else mocks.record(spec)

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    return specs


def test_the_written_file(file):
    text = file.read_text()
    assert text.startswith("# Settings of methods found by `bench tune`, for `bench run --settings`.\n")
    assert text.endswith("""
[tuning]
suite = "mock"
trials = 3
epochs = "suite"
seeds = [0, 1]
set = []
budget = "none"
data_version = 3
date = "2026-01-01T00:00:00+00:00"
version = "0.1.0"

[tasks.ave.methods.lora]
# validation accuracy 43.50
lr_adapter = 0.0123

[tasks.ave.methods.cola]
# validation accuracy 43.50
lr_adapter = 2e-05
r = 8
""")
    assert [*file.parent.iterdir()] == [file], "nothing but the file is left"


def test_a_written_file_can_be_read(file):
    tuned = read_tuned(file)
    assert tuned.values == TUNED and tuned.tuning == TUNING and tuned.file == "tuned.toml"
    assert tuned.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


names = st.sampled_from(["lora", "cola"])
cola = st.fixed_dictionaries(
    {"lr_adapter": st.floats(1e-9, 10)},
    optional={
        "inter_scale": st.none() | st.floats(0, 1),
        "summary": st.sampled_from(["cls", "mean"]),
        "targets": st.lists(st.text(st.characters(codec="utf-8"), min_size=1)),
        "r": st.integers(1, 2**40),
    },
)


@effort(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.tuples(st.sampled_from(["ave", "avs"]), st.just("cola")), cola, min_size=1), st.text())
def test_any_settings_survive_the_file(mock_registry, tmp_path, values, date):
    path = tmp_path / "any.toml"
    path.unlink(missing_ok=True)
    tuning = replace(TUNING, epochs=2, set=("a.b=[1]", 'c="d"'), date=date)
    write_tuned(path, tuning, values, dict.fromkeys(values, "x"))
    tuned = read_tuned(path)
    assert tuned.values == values and tuned.tuning == tuning


def test_names_of_any_form(tmp_path):
    values = {("refcoco:box", "peft:ia3"): {"lr_adapter": 0.5}, ("refcoco+refcocog", "cola+peft:ia3"): {"inter_r": 3}}
    write_tuned(tmp_path / "t.toml", TUNING, values, dict.fromkeys(values, "x"))
    assert read_tuned(tmp_path / "t.toml").values == values


def test_more_is_added_and_the_same_replaced(file):
    text = file.read_text().replace("lr_adapter = 0.0123\n", "lr_adapter = 0.0123  # my own comment\n")
    file.write_text(text)
    later = replace(TUNING, date="2026-02-02", version="0.2.0")
    values = {("ave", "cola"): {"lr_adapter": 0.5}, ("avs", "lora"): {"lr_adapter": 0.25}}
    write_tuned(file, later, values, dict.fromkeys(values, "new"))
    tuned = read_tuned(file)
    assert tuned.values == {**TUNED, **values} and tuned.tuning == later
    text = file.read_text()
    assert "0.0123  # my own comment\n\n[tasks.ave.methods.cola]\n# new\nlr_adapter = 0.5\n" in text
    assert (
        text.count("[tuning]") == 1
        and "\n\n\n" not in text
        and text.endswith("[tasks.avs.methods.lora]\n# new\nlr_adapter = 0.25\n")
    )


def test_a_file_that_an_editor_saved_with_a_byte_order_mark_is_added_to(file):
    file.write_text(file.read_text(), encoding="utf-8-sig")
    write_tuned(file, TUNING, {("ave", "cola"): {"lr_adapter": 0.5}}, {("ave", "cola"): "new"})
    assert read_tuned(file).values == {**TUNED, ("ave", "cola"): {"lr_adapter": 0.5}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 4}, "trials 3, now 4"),
        ({"epochs": 1, "seeds": (0,)}, 'epochs "suite", now 1; seeds [0, 1], now [0]'),
        ({"suite": "mini"}, 'suite "mock", now "mini"'),
        ({"set": ("ave.epochs=1",)}, 'set [], now ["ave.epochs=1"]'),
        ({"budget": "cola"}, 'budget "none", now "cola"'),
        ({"data_version": 4}, "data_version 3, now 4"),
    ],
)
def test_another_tuning_is_not_mixed_in(file, changes, message):
    before = file.read_bytes()
    for attempt in (check_mergeable, lambda *arguments: write_tuned(*arguments, TUNED, ABOUT)):
        with pytest.raises(UsageError) as raised:
            attempt(file, replace(TUNING, **changes))
        assert f"{file} is from another search ({message})" in str(raised.value) and "write to another file" in str(
            raised.value
        )
    assert file.read_bytes() == before
    check_mergeable(file, replace(TUNING, date="later", version="9", data_version=0))
    check_mergeable(file.with_name("none.toml"), TUNING)


def test_settings_that_cannot_be_written_are_printed(tmp_path, mock_registry):
    (tmp_path / "a").write_text("no folder")
    with pytest.raises(BenchError, match=r"lr_adapter = 0\.0123\n(.|\n)*cannot be written"):
        write_tuned(tmp_path / "a" / "tuned.toml", TUNING, TUNED, ABOUT)


def test_every_mistake_is_reported_with_file_and_key(file):
    text = file.read_text().replace("trials = 3\n", 'trials = "3"\n').replace("r = 8", 'r = "8"\nrr = 3')
    text = text.replace("methods.lora]", "methods.lorra]").replace("seeds", "sedes")
    file.write_text(text + '\n[tasks.avz.methods.lora]\nlr_adapter = "high"\n[tasks.avs]\nlora.clip = 3\n')
    with pytest.raises(UsageError) as raised:
        read_tuned(file)
    problems = raised.value.problems
    assert all(problem.startswith(f"{file}: ") for problem in problems) and len(problems) == 10
    for message in (
        "tuning.trials must be a whole number, not '3'",
        "unknown key tuning.sedes: did you mean seeds?",
        "tuning.seeds is missing",
        "unknown method lorra: did you mean lora",
        "tasks.ave.methods.cola.r must be a whole number, not '8'",
        "unknown key tasks.ave.methods.cola.rr",
        "unknown task avz: did you mean avs or ave?",
        "tasks.avz.methods.lora.lr_adapter must be a finite number, not 'high'",
        "unknown key tasks.avs.lora",
        "tasks.avs.methods is missing",
    ):
        assert any(message in problem for problem in problems), message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = \n", "is not a readable TOML file"),
        ("[tasks.ave.methods.lora]\nr = 3\n", "tuning is missing"),
        ("tuning = 3\n", "tuning must be a table"),
        ("[tuning]\nsuite = 'mock'\n[tasks]\nave = 3\n", "tasks.ave must be a table"),
    ],
)
def test_files_that_are_not_tuned_settings(tmp_path, text, message):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        read_tuned(tmp_path / "t.toml")
    assert message in str(raised.value) and str(tmp_path / "t.toml") in str(raised.value)
    with pytest.raises(UsageError, match="does not exist: `bench tune` writes one"):
        read_tuned(tmp_path / "none.toml")


def test_the_file_overrides_the_suite_and_set_overrides_the_file(planned, mock_suite):
    mock_suite.write_text(mocks.SUITE + "\n[tasks.ave.methods.lora]\nlr_adapter = 0.5\nalpha = 3.0\n")
    (lora,) = planned("lora")
    assert (lora.recipe["lr_adapter"], lora.settings["alpha"]) == (0.0123, 3.0)
    for change in ("lora.lr_adapter=0.75", "ave.lr_adapter=0.75", "train.lr_adapter=0.75"):
        assert planned("lora", "ave", change)[0].recipe["lr_adapter"] == 0.75
    assert planned("cola", "ave", "cola.r=3")[0].settings["r"] == 3
    assert planned("cola", "avs") == planned("cola", "avs", tuned=False)


def test_equal_values_make_equal_runs(planned):
    lora, cola = planned()
    changes = "lora.lr_adapter=0.0123", "cola.lr_adapter=2e-5", "cola.r=8"
    assert [lora.id, cola.id] == [spec.id for spec in planned("lora cola", "ave", *changes, tuned=False)]
    plain = planned(tuned=False)
    assert [with_values(spec, TUNED["ave", spec.method]).id for spec in plain] == [lora.id, cola.id]
    assert lora.id not in {spec.id for spec in plain}


def test_a_file_of_another_suite_is_refused(file, mock_suite):
    mock_suite.write_text(mocks.SUITE.replace('name = "mock"', 'name = "mick"'))
    with pytest.raises(UsageError, match=r"--settings tuned\.toml was tuned on suite mock, not on mick"):
        make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [0], [], tuned=read_tuned(file)))


@pytest.fixture
def bench_run(mock_suite, runs, file, tmp_path):
    """Runs `bench run` with the file."""

    def run(*more, methods="lora,cola", tasks="ave", settings=file):
        argv = ["--methods", methods, "--tasks", tasks, "--suite", str(mock_suite), "--results", str(tmp_path / "out")]
        return cli.main(["run", *argv, *(["--settings", str(settings)] if settings else []), *more])

    return run


def records_by_pair(tmp_path):
    return {(r.spec.task, r.spec.method): r for r in store.read_all(tmp_path / "out")}


def test_records_name_the_file_of_their_settings(bench_run, file, tmp_path, caplog):
    assert bench_run(tasks="ave,avs") == 0
    named = {pair: record.tuned for pair, record in records_by_pair(tmp_path).items()}
    entry = {"file": "tuned.toml", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert named["ave", "lora"] == named["ave", "cola"] == {**entry, "tuning": read_toml(file)["tuning"]}
    assert named["avs", "lora"] is named["avs", "cola"] is None
    message = "tuned.toml has no settings for lora on avs, cola on avs: run with the suite's own, beside tuned ones"
    assert caplog.messages == [message]


def test_no_warning_if_the_file_has_all_settings(bench_run, capsys, caplog):
    assert bench_run("--quiet") == 0
    assert capsys.readouterr().err == "" and not caplog.messages


@pytest.mark.parametrize(
    ("change", "named"), [("lora.r=3", True), ("lora.lr_adapter=0.5", False), ("lora.lr_adapter=0.0123", True)]
)
def test_a_record_does_not_name_a_file_whose_values_it_does_not_use(bench_run, tmp_path, change, named):
    bench_run("--set", change, methods="lora")
    assert bool(records_by_pair(tmp_path)["ave", "lora"].tuned) is named


def test_failed_runs_name_it_too(bench_run, tmp_path):
    assert bench_run("--set", "train.clip=99", methods="lora") == 1
    assert records_by_pair(tmp_path)["ave", "lora"].tuned["file"] == "tuned.toml"


def test_a_run_that_was_finished_with_equal_values_stays_as_it_is(bench_run, tmp_path, runs, capsys):
    bench_run("--set", "lora.lr_adapter=0.0123", methods="lora", settings=None)
    before = records_by_pair(tmp_path)
    bench_run(methods="lora")
    assert records_by_pair(tmp_path) == before and before["ave", "lora"].tuned is None and len(runs) == 1
    bench_run("--rerun", methods="lora")
    assert records_by_pair(tmp_path)["ave", "lora"].tuned


def test_mistakes_in_the_file_are_reported_in_one_message(bench_run, file, capsys, runs):
    file.write_text(file.read_text().replace("lr_adapter", "lr_adaptor"))
    assert bench_run() == 2
    err = capsys.readouterr().err
    assert (
        err.startswith("bench: 2 mistakes:\n")
        and f"{file}: unknown key tasks.ave.methods.lora.lr_adaptor: did you mean lr_adapter?" in err
    )
    assert runs == []


def test_from_python(mock_suite, runs, file, tmp_path):
    request = {"suite": mock_suite, "results": tmp_path / "out", "settings_file": file}
    (record,) = bench.run("lora", "ave", **request)
    assert record.spec.recipe["lr_adapter"] == 0.0123 and record.tuned["file"] == "tuned.toml"
    (record,) = bench.run("lora", "ave", settings={"lora.lr_adapter": 0.5}, **request)
    assert record.spec.recipe["lr_adapter"] == 0.5 and record.tuned is None


def test_a_budget_keeps_tuned_rates(tmp_path):
    from bench.config.budget import plan_within

    tuning = replace(TUNING, suite="mini")
    write_tuned(tmp_path / "mini.toml", tuning, {("ave", "lora"): {"lr_adapter": 0.25}}, {("ave", "lora"): "x"})
    tuned = read_tuned(tmp_path / "mini.toml")
    plan, _ = plan_within(RunRequest("mini", ["lora"], ["ave"], budget="28k", tuned=tuned))
    assert plan[0].recipe["lr_adapter"] == 0.25 and tuned.record_entry(plan[0])


def test_settings_of_another_size_are_warned_of(file, caplog):
    file.write_text(file.read_text().replace('budget = "none"\n', ""))  # as older files are
    tuned = read_tuned(file)
    tuned.check_budget(None)
    assert not caplog.messages
    tuned.check_budget("cola")
    assert caplog.messages[-1].startswith(f"{file.name} was tuned with --budget none, not cola: ")
    at_size = replace(tuned, tuning=replace(tuned.tuning, budget="cola"))
    at_size.check_budget("2%")
    assert "--budget cola, not 2%" in caplog.messages[-1]
    at_size.check_budget("cola")
    assert len(caplog.messages) == 2


def test_settings_tuned_on_another_version_of_the_data_are_told(file, caplog):
    tuned = read_tuned(file)
    runs = [made_standings.spec(method, "ave", 0) for method in ("lora", "cola")]
    version = runs[0].data["version"]
    replace(tuned, tuning=replace(TUNING, data_version=version)).check_data(runs)
    replace(tuned, tuning=replace(TUNING, data_version=0)).check_data(runs)
    assert caplog.messages == []
    replace(tuned, tuning=replace(TUNING, data_version=version + 1)).check_data(runs)
    (message,) = caplog.messages
    assert message.startswith(f"{file.name} was tuned on version {version + 1} of the data, which is {version} now: ")
