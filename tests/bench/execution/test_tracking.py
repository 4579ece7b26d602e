"""What runs send to trackers: TensorBoard for real, the others by made-up ones."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import ClassVar

import pytest
from accelerate import tracking as of_accelerate
from alike import alike

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.errors import UsageError
from bench.execution import tracking
from bench.execution.single_run import execute
from bench.records import schema


class Recorder:
    """A tracker that notes what it is told, and fails where a test says so."""

    def __init__(self, project: str, /, **options: object) -> None:
        self.project, self.options = project, options
        self.noted: list[tuple[str, object]] = []
        created.append(self)

    def start(self) -> None:
        self._note("start", None)

    def store_init_configuration(self, values: dict) -> None:
        self._note("configuration", values)

    def log(self, values: dict, step: int) -> None:
        self._note("log", (step, values))

    def finish(self) -> None:
        self._note("finish", None)

    fails: ClassVar[set[str]] = set()

    def _note(self, event: str, of: object) -> None:
        if event in self.fails:
            raise ConnectionError(f"no {event}")
        self.noted.append((event, of))


created: list[Recorder] = []


@pytest.fixture
def trackers(monkeypatch):
    """The trackers that runs created, in place of those of Weights & Biases, MLflow and Trackio."""
    created.clear()
    for name in ("wandb", "mlflow", "trackio"):
        monkeypatch.setitem(of_accelerate.LOGGER_TYPE_TO_CLASS, name, Recorder)
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_DIR"):
        monkeypatch.setenv(variable, "")  # so that it is taken back afterwards
        monkeypatch.delenv(variable)
    return created


@pytest.fixture(scope="module")
def spec():
    return make_plan(RunRequest("mini", ["lora"], ["ave"], [0], ["ave.epochs=2", "train.batch_size=2"]))[0]


RATES = {"adapter": 1e-3, "head": 2e-3}


def epoch(number: int) -> schema.Epoch:
    return schema.Epoch(number, 10 * number, 1 / number, {"accuracy": 40.0 + number})


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_each_tracker_logs_the_configuration_epochs_and_test_scores(name, trackers, spec, tmp_path):
    run = tracking.Tracking([name], spec, tmp_path)
    assert not trackers, "nothing begins before the first epoch"
    run.epoch(epoch(1), RATES)
    run.epoch(epoch(2), RATES)
    run.end(schema.Scores("accuracy", [epoch(1), epoch(2)], 2, {"accuracy": 41.5}, 3, {}))
    (tracker,) = trackers
    assert tracker.project == "crossmodal-bench"
    assert schema.stem(spec) in (tracker.options.get("name"), tracker.options.get("run_name"))
    assert [event for event, _ in tracker.noted] == ["start", "configuration", "log", "log", "log", "finish"]
    configuration = tracker.noted[1][1]
    assert configuration["method"] == "lora" and configuration["recipe.epochs"] == "2"
    step, values = tracker.noted[3][1]
    assert step == 20
    assert values["epoch"] == 2 and values["train/loss"] == 0.5 and values["val/accuracy"] == 42
    assert (values["learning_rate/adapter"], values["learning_rate/head"]) == (1e-3, 2e-3)
    assert tracker.noted[4][1] == (20, {"test/accuracy": 41.5})


@pytest.mark.parametrize("fails", ["start", "configuration", "log", "finish"])
def test_a_failing_tracker_causes_one_warning_and_the_others_continue(
    fails, trackers, spec, tmp_path, monkeypatch, caplog
):
    class Bad(Recorder):
        fails: ClassVar[set[str]] = set()

    Bad.fails = {fails}
    monkeypatch.setitem(of_accelerate.LOGGER_TYPE_TO_CLASS, "wandb", Bad)
    run = tracking.Tracking(["wandb", "trackio"], spec, tmp_path)
    run.epoch(epoch(1), RATES)
    run.epoch(epoch(2), RATES)
    run.end(None)
    assert caplog.text.count(f"ave lora seed 0: no longer logged to wandb: ConnectionError: no {fails}") == 1
    assert [event for event, _ in trackers[1].noted] == ["start", "configuration", "log", "log", "finish"]


def test_nothing_leaves_the_machine_unless_the_environment_says_so(trackers, spec, tmp_path, monkeypatch):
    import os

    monkeypatch.setenv("TRACKIO_DIR", "/elsewhere")
    tracking.Tracking(["wandb", "mlflow"], spec, tmp_path).epoch(epoch(1), RATES)
    assert os.environ["WANDB_MODE"] == "offline"
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}"
    assert os.environ["TRACKIO_DIR"] == "/elsewhere"


def test_nothing_is_logged_without_a_results_folder_or_by_other_processes(trackers, spec, tmp_path, monkeypatch):
    tracking.Tracking(["wandb"], spec, None).epoch(epoch(1), RATES)
    monkeypatch.setenv("RANK", "1")
    tracking.Tracking(["wandb"], spec, tmp_path).epoch(epoch(1), RATES)
    assert not trackers


def test_tensorboard_has_a_real_runs_curve_and_its_record_is_the_same(options, spec, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = execute(spec, replace(options, results=None))
    record = execute(spec, replace(options, results=tmp_path, track=("tensorboard",)))
    assert record.status == "ok", record.traceback
    assert asdict(record.scores) == alike(plain.scores)
    events = EventAccumulator(str(tmp_path / "tracking" / "tensorboard" / record.stem))
    events.Reload()
    curve = record.scores.validation
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert scalars["train/loss"] == [(epoch.step, pytest.approx(epoch.train_loss)) for epoch in curve]
    assert scalars["val/accuracy"] == [(epoch.step, pytest.approx(epoch.scores["accuracy"])) for epoch in curve]
    assert scalars["test/accuracy"] == [(curve[-1].step, pytest.approx(record.scores.test["accuracy"]))]
    assert all(math.isfinite(value) for _, value in scalars["learning_rate/adapter"]) and len(curve) == 2


def test_unknown_and_missing_trackers_are_reported_together(monkeypatch, mock_suite, tmp_path, capsys):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "mlflow" else name)
    tracking.check(["wandb", "trackio", "tensorboard"])
    with pytest.raises(UsageError) as caught:
        tracking.check(["wandb", "aim", "mlflow"])
    unknown, missing = caught.value.problems
    assert unknown == "--track aim: expected one or several of tensorboard, wandb, mlflow, trackio"
    assert missing == "--track mlflow: it is not installed: pip install mlflow"
    arguments = [
        "run",
        "--methods",
        "lora",
        "--tasks",
        "ave",
        "--suite",
        str(mock_suite),
        "--results",
        str(tmp_path / "out"),
    ]
    assert cli.main([*arguments, "--track", "wandb,mlflow"]) == 2
    assert missing in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
