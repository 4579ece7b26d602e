"""The Python API, with made-up runs."""

from __future__ import annotations

import ast
import math
import re
import runpy
import subprocess
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import mocks
import pytest
from snippets import snippets

import bench
from bench import registry
from bench.config.instantiate import method_of
from bench.errors import BenchError, UsageError
from bench.methods.base import Method
from bench.records import store
from bench.tasks.ave import AVE

README = Path(__file__).parents[2] / "README.md"
COMPARE = README.parent / "examples" / "compare.py"


@dataclass
class MyMethod(Method):
    """One of somebody's own."""

    width: int = 3

    def attach(self, model):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def run_labels(monkeypatch) -> list[str]:
    """The labels of the runs that were done, by an executor that makes their records up; a clip of 99 fails."""
    labels: list[str] = []

    def execute(spec, options):
        labels.append(spec.label)
        method_of(spec)
        return mocks.failed(spec) if spec.recipe["clip"] == 99 else mocks.record(spec, 70.0 + spec.seed)

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    monkeypatch.setattr("bench.registry._added", {kind: {} for kind in registry._added})
    return labels


@pytest.fixture
def run(mock_suite, tmp_path):
    """`bench.run` with the made-up suite and this folder for results."""
    return lambda methods, tasks, **more: bench.run(
        methods, tasks, **{"suite": str(mock_suite), "results": tmp_path / "out", **more}
    )


def test_records_come_in_the_order_of_the_plan(run, run_labels, tmp_path):
    records = run(["lora", "cola"], ["ave", "avs"], seeds=[1, 0])
    expected = [f"{t} {m} seed {s}" for t in ("ave", "avs") for s in (1, 0) for m in ("lora", "cola")]
    assert [record.label for record in records] == run_labels == expected
    assert sorted(record.id for record in store.read_all(tmp_path / "out")) == sorted(record.id for record in records)


def test_one_of_each_needs_no_list(run):
    (record,) = run("lora", "ave")
    assert record.label == "ave lora seed 0"


def test_finished_runs_are_skipped_and_returned(run, run_labels):
    first = run("lora", "ave", seeds=range(2))
    both = run(["lora", "cola"], "ave", seeds=range(2))
    assert run_labels == ["ave lora seed 0", "ave lora seed 1", "ave cola seed 0", "ave cola seed 1"]
    assert both[::2] == first
    run("lora", "ave", rerun=True)
    assert run_labels[4:] == ["ave lora seed 0"]


def test_a_class_is_a_method_under_its_name_in_lower_case(run, run_labels):
    _, record = run(["lora", MyMethod], "ave", settings={"mymethod.width": 5})
    assert run_labels == ["ave lora seed 0", "ave mymethod seed 0"]
    assert record.spec.method == "mymethod" and record.spec.settings == {"width": 5}
    assert run(MyMethod, "ave", settings={"mymethod.width": 5}) == [record]
    assert len(run_labels) == 2
    assert "mymethod" in registry.names("methods")
    assert registry.summary("methods", "mymethod") == "One of somebody's own."


@dataclass
class Matching(AVE):
    """A task of somebody's own."""

    hidden: int = 32


def test_a_class_is_a_task_under_its_name_in_lower_case(run, run_labels, tmp_path):
    suite = tmp_path / "own.toml"
    suite.write_text(mocks.SUITE + '[tasks.matching]\nstreams = ["vision"]\nsettings.hidden = 16\n')
    first, second = run("lora", [Matching, "ave"], suite=suite, settings={"matching.epochs": 2})
    assert run_labels == ["matching lora seed 0", "ave lora seed 0"]
    assert first.spec.task_settings["hidden"] == 16 and list(first.spec.streams) == ["vision"]
    assert (first.spec.recipe["epochs"], second.spec.recipe["epochs"]) == (2, 4)
    with pytest.raises(UsageError, match="other processes do not know the class Matching"):
        run("lora", Matching, suite=suite, jobs=2)
    with pytest.raises(UsageError, match="suite mock has no task matching"):
        run("lora", Matching)


def test_a_class_that_cannot_be_a_task_is_refused(run):
    with pytest.raises(UsageError, match=r"not a task: .* a dataclass that derives from bench\.Task"):
        run("lora", MyMethod)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (dict, "is not a method: pass a name, or a dataclass that derives from bench.Method"),
        (
            MyMethod(width=4),
            r'an instance: pass the class MyMethod, and its settings as settings={"mymethod\.<setting>"',
        ),
        ([MyMethod()], "an instance: pass the class MyMethod"),
        (1.5, "1.5 is not a method"),
        (None, "None is not a method"),
        (type("Lora", (MyMethod,), {}), "there is a method lora already"),
    ],
)
def test_a_class_that_cannot_be_one_is_refused(run, run_labels, cls, message):
    with pytest.raises(UsageError, match=message):
        run(cls, "ave")
    assert run_labels == []


def test_settings_of_every_kind_reach_the_run(run):
    changed = {"cola.r": 8, "cola.inter_scale": 0.5, "cola.summary": "mean", "cola.targets": ("q", "k", "v")}
    (record,) = run("cola", "ave", settings={**changed, "train.epochs": 2, "ave.lr_head": 1e-4})
    assert record.spec.settings == {
        **{"r": 8, "alpha": 8.0, "inter_scale": 0.5, "summary": "mean"},
        "targets": ["q", "k", "v"],
    }
    assert (record.spec.recipe["epochs"], record.spec.recipe["lr_head"]) == (2, 1e-4)


def test_none_and_the_empty_tuple_are_settings_too(run):
    (record,) = run("cola", "ave", settings={"cola.inter_scale": None, "cola.targets": ()})
    assert record.spec.settings["inter_scale"] is None  # the suite says 0.1
    assert record.spec.settings["targets"] == []


def test_all_mistakes_are_reported_together(run, run_labels, tmp_path):
    wrong = {"cola.rr": 8, "cola.summary": "max", "cola.r": None, "epochs": 2}
    with pytest.raises(UsageError) as error:
        run(["loraa", "cola"], ["ave", "avss"], seeds=[-1], settings=wrong)
    problems = error.value.problems
    assert len(problems) == 7
    for part in ("method loraa", "task avss", "not -1", "key cola.rr", "cola.summary must", "cola.r must", "epochs=2"):
        assert any(part in problem for problem in problems), part
    assert run_labels == [] and not (tmp_path / "out").exists()


def test_the_official_data_needs_its_folder(run):
    with pytest.raises(UsageError, match="official needs --data-root"):
        run("lora", "ave", settings={"data.source": "official"})


def test_the_frame_has_a_row_a_run_and_a_column_a_measure(run):
    records = run(["lora", "cola"], "ave", seeds=range(2), settings={"cola.targets": ("q",)})
    frame = bench.to_frame(records)
    assert list(frame["id"]) == [record.id for record in records]
    assert set(frame["suite"]) == {"mock"} and set(frame["status"]) == {"ok"}
    assert list(frame["method"]) == ["lora", "cola"] * 2 and list(frame["seed"]) == [0, 0, 1, 1]
    assert list(frame["score"]) == list(frame["test.accuracy"]) == [70, 70, 71, 71]
    assert set(frame["metric"]) == {"accuracy"} and set(frame["best_epoch"]) == {1}
    first = records[0]
    assert frame["parameters.adapter"][0] == first.parameters.adapter
    assert frame["memory.train_peak"][0] == first.memory.train_peak
    assert frame["throughput.train"][0] == first.throughput.train
    assert frame["times.total"][0] == first.times.total
    assert frame["setting.r"][0] == 16 and frame["setting.targets"][1] == '["q"]'
    assert math.isnan(frame["setting.targets"][0])  # lora has none
    assert frame.groupby("method")["score"].std().to_dict() == pytest.approx({"lora": 0.5**0.5, "cola": 0.5**0.5})


def test_every_column_can_be_grouped_by(run):
    changes = {"cola.targets": ("q",), "data.streams": ["vision"]}
    frame = bench.to_frame([*run(["lora", "cola"], "ave"), *run("cola", "ave", settings=changes)])
    assert {"label", "condition", "data.streams", "setting.targets"} <= set(frame.columns)
    for name in frame.columns:
        assert frame.groupby(name, dropna=False).size().sum() == 3


def test_records_are_read_from_a_folder(run, tmp_path):
    records = run(["lora", "cola"], "ave", seeds=range(2))
    run("lora", "ave", seeds=2)
    read = bench.load_records(tmp_path / "out")
    assert {record.id for record in records} < {record.id for record in read} and len(read) == 5
    with pytest.raises(UsageError, match=r"there is no results folder .*nowhere"):
        bench.load_records(tmp_path / "nowhere")
    with pytest.raises(BenchError, match=r"there are no records in .*: `bench run` makes them"):
        bench.load_records(tmp_path)


def test_a_failed_run_has_a_row_without_measures(run):
    fine = run("lora", "ave")
    with pytest.warns(RuntimeWarning):
        (failed,) = run("lora", "ave", settings={"ave.clip": 99})
    frame = bench.to_frame([*fine, failed])
    assert list(frame["status"]) == ["ok", "failed"]
    row = frame.iloc[1]
    assert (row["task"], row["method"], row["setting.r"]) == ("ave", "lora", 16)
    measures = [name for name in frame.columns if name == "score" or name.startswith(("parameters.", "memory."))]
    assert len(measures) > 5 and row[measures].isna().all() and frame.iloc[0][measures].notna().all()
    assert list(bench.to_frame([failed])["status"]) == ["failed"]
    assert bench.to_frame([]).empty


def test_a_failed_run_warns_with_its_reason_and_the_file_of_its_record(run, tmp_path):
    with pytest.warns(RuntimeWarning) as caught:
        run("cola", "ave")
        failed, _ = run("lora", "ave", seeds=[0, 1], settings={"ave.clip": 99})
    assert len(caught) == 2, "one for each failed run"
    file = tmp_path / "out" / "records" / f"{failed.stem}.json"
    assert file.is_file()
    expected = (
        f"ave lora seed 0 failed: the loss is not finite at step 3; see {file}, and repeat the run with rerun=True"
    )
    assert str(caught[0].message) == expected
    with pytest.warns(RuntimeWarning, match="ave lora seed 0 failed"):
        run("lora", "ave", settings={"ave.clip": 99})  # finished earlier, and skipped


def test_the_warning_of_a_failed_run_is_at_the_callers_line_and_names_that_of_the_error(
    mock_suite, tmp_path, monkeypatch
):
    def execute(spec, options):
        try:
            method_of(spec).no_such_name  # noqa: B018
        except AttributeError as error:
            return replace(mocks.failed(spec, str(error)), traceback=traceback.format_exc())

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    with pytest.warns(RuntimeWarning) as caught:
        bench.run("lora", "ave", suite=str(mock_suite), results=tmp_path / "out")
    code = Path(__file__).read_text().splitlines()
    assert Path(caught[0].filename) == Path(__file__) and "bench.run(" in code[caught[0].lineno - 1]
    place = re.search(r"has no attribute 'no_such_name', raised at (.+):(\d+); see ", str(caught[0].message))
    assert Path(place[1]) == Path(__file__) and "method_of(spec).no_such_name" in code[int(place[2]) - 1]


def test_records_have_a_short_repr(run):
    (fine,) = run("lora", "ave")
    assert repr(fine) == f"Record(ave lora seed 0, ok, accuracy 70.00, id {fine.id})"
    failed = mocks.failed(fine.spec, "a\nreason \x1b[2J " + 20 * "of many words ")
    assert repr(failed).startswith("Record(ave lora seed 0, failed: a reason ") and len(repr(failed)) < 140
    assert "\x1b" not in repr(failed) and "\n" not in repr(failed)
    assert repr(mocks.trial(fine.spec)) == f"Record(ave lora seed 0, ok, validation only, id {fine.id})"


def test_records_know_their_file(run, tmp_path):
    (written,) = run("lora", "ave")
    skipped, _ = run(["lora", "cola"], "ave")
    for record in (written, skipped, *bench.load_records(tmp_path / "out")):
        assert record.file.results == tmp_path / "out"
        assert (tmp_path / "out" / "records" / f"{record.file.stem}.json").is_file()


def test_a_method_for_a_loop_of_ones_own():
    method = bench.make_method("cola", r=4, paths=("vision>audio",))
    assert isinstance(method, bench.Method) and (method.r, method.paths) == (4, ("vision>audio",))
    assert type(bench.make_method("cola+lora")).__name__ == "cola+lora"
    with pytest.raises(UsageError, match="unknown method colaa: did you mean cola"):
        bench.make_method("colaa")
    with pytest.raises(UsageError) as error:
        bench.make_method("cola", rr=4, alpha="much")
    assert len(error.value.problems) == 2


def test_the_example_prints_a_row_a_method(run_labels, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(COMPARE), run_name="__main__")
    records = store.read_all(tmp_path / "results")
    assert len(run_labels) == len(records) == 6
    assert {record.spec.settings["r"] for record in records if record.spec.method == "lora"} != {4}  # the budget's
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[-4], row[-3:]) for row in rows[-2:]] == [(name, ["71.0", "1.0", "3"]) for name in ("cola", "lora")]


def test_the_readme_shows_the_lines_of_the_example():
    imports, guarded = ast.parse(COMPARE.read_text()).body[1:]
    (block,) = (snippet for snippet in snippets(README) if snippet.language == "python")
    assert ast.unparse(ast.parse(block.text)) == ast.unparse(ast.Module([imports, guarded], []))


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, bench; dir(bench); bench.run, bench.to_frame, bench.load_records, bench.make_method; "
        "bench.Method, bench.Record, bench.Task; "
        "print({'torch', 'transformers', 'peft', 'pandas', 'numpy'} & {*sys.modules})"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "set()"


def test_every_name_of_the_api_is_there():
    assert {*bench.__all__} <= {*dir(bench)}
    for name in bench.__all__:
        assert getattr(bench, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        bench.runn  # noqa: B018
