"""Log runs to TensorBoard, Weights & Biases, MLflow or Trackio, while they train and at their end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.recipe import complete
from bench.config.spec import Spec
from bench.errors import Mistakes
from bench.system import distributed
from bench.text import escape

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

    from bench.records import schema

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
"""Names of the trackers in accelerate, and of their packages."""

PROJECT = "crossmodal-bench"
FOLDER = "tracking"

_log = logging.getLogger(__name__)


def check(trackers: Sequence[str]) -> None:
    """Check that the trackers named by `--track` are installed.

    Raises:
        UsageError: All trackers that are unknown or not installed.
    """
    mistakes = Mistakes()
    for name in trackers:
        if name not in TRACKERS:
            mistakes.add(f"--track {name}: expected one or several of {', '.join(TRACKERS)}")
        elif not find_spec(name):
            mistakes.add(f"--track {name}: it is not installed: pip install {name}")
    mistakes.raise_if_any()


class Tracking:
    """A run's trackers, which start with its first epoch. A tracker that fails is dropped, and the run continues.

    Nothing leaves the machine unless the user's environment says so: by default WANDB_MODE is offline, and
    MLFLOW_TRACKING_URI and TRACKIO_DIR are in RESULTS/tracking.

    Args:
        trackers: Names of the trackers.
        spec: The run. It is named like its record, and its configuration is the specification with every field of the
            recipe.
        results: The results folder; None to track nothing.
        environment: The environment of the run, which the configuration has as `environment`.
    """

    def __init__(
        self,
        trackers: Sequence[str],
        spec: Spec,
        results: Path | None,
        environment: schema.Environment | None = None,
    ) -> None:
        self._spec, self._environment = spec, environment
        self._folder = (results or Path()).absolute() / FOLDER
        self._unstarted = [*trackers] if results and distributed.is_main() else []
        self._open: dict[str, GeneralTracker] = {}

    def epoch(self, entry: schema.Epoch, rates: Mapping[str, float]) -> None:
        """Log an epoch: its loss, validation scores, and the learning rates of its last step by part."""
        self._start()
        scores = {f"val/{name}": score for name, score in entry.scores.items()}
        learning_rates = {f"learning_rate/{part}": rate for part, rate in rates.items()}
        self._log({"epoch": entry.epoch, "train/loss": entry.train_loss, **scores, **learning_rates}, entry.step)

    def end(self, scores: schema.Scores | None) -> None:
        """Log the test scores, unless the run failed, and close the trackers."""
        if scores and scores.test:
            self._log({f"test/{name}": score for name, score in scores.test.items()}, scores.validation[-1].step)
        for name, tracker in [*self._open.items()]:
            with self._dropped_if_failing(name):
                tracker.finish()
        self._open.clear()

    def _start(self) -> None:
        from bench.records.schema import stem

        for name in self._unstarted:
            with self._dropped_if_failing(name):
                tracker = _make(name, stem(self._spec), self._folder)
                tracker.start()
                self._open[name] = tracker
                tracker.store_init_configuration(self._configuration())
        self._unstarted = []

    def _configuration(self) -> dict[str, str]:
        spec = {**asdict(self._spec), "recipe": complete(self._spec.recipe)}
        return _flat({**spec, "environment": asdict(self._environment)} if self._environment else spec)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        for name, tracker in [*self._open.items()]:
            with self._dropped_if_failing(name):
                tracker.log(dict(values), step=step)

    @contextmanager
    def _dropped_if_failing(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each tracker has exceptions of its own
            self._open.pop(name, None)
            _log.warning("%s: no longer logged to %s: %s: %s", self._spec.label, name, type(error).__name__, error)


def _make(name: str, run: str, folder: Path) -> GeneralTracker:
    """Return a tracker that is not started, with its folder and the name of the run."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
    arguments: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
        "tensorboard": lambda: (run, {"logging_dir": folder / name}),
        "wandb": lambda: (PROJECT, {"name": run, "dir": str(folder)}),
        "mlflow": lambda: (PROJECT, {"run_name": run, "logging_dir": (folder / name).as_uri()}),
        "trackio": lambda: (PROJECT, {"name": run}),
    }
    run_name, options = arguments[name]()
    return LOGGER_TYPE_TO_CLASS[name](run_name, **options)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the values of nested mappings as text by dotted keys: not every tracker takes other values."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {escape.line(f"{prefix}{key}"): escape.line(str(value))}
        )
    return flat
