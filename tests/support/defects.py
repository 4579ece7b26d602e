"""Defects that `bench check` must find. `python tests/support/defects.py` plants each in a real check.

Each is planted by replacing a function, as an edit of the code would: a check within the process meets it (`--jobs 1`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from tabulate import tabulate
from torch import nn

import bench.check.integrity
import bench.check.sanity_run
import bench.cli.check
import bench.execution.single_run
import bench.training.trainer
from bench import cli
from bench.datasets.ave import Release
from bench.methods.cola import CrossModal
from bench.methods.dora import DoRA
from bench.methods.hypernetworks import Hypernetworks


@dataclass(frozen=True)
class Defect:
    """A defect, the method whose run has it, and the quantity that reveals it."""

    plant: Callable[[], AbstractContextManager[object]]
    method: str
    found_by: str


def _frozen(owner: type, part: str, value: float | None = None) -> AbstractContextManager[object]:
    """Freeze parameters with `part` in their names, and set them to `value`, if there is one."""
    attach = owner.attach

    def attach_and_freeze(self: Any, model: Any) -> None:
        attach(self, model)
        for name, parameter in model.named_parameters():
            if part in name:
                parameter.requires_grad_(False)
                if value is not None:
                    parameter.data.fill_(value)

    return patch.object(owner, "attach", attach_and_freeze)


def _silenced() -> AbstractContextManager[object]:
    """Multiply s_c by 0 in the forward pass."""
    forward = Hypernetworks.forward
    return patch.object(Hypernetworks, "forward", lambda self, summary: 0 * forward(self, summary))


def _not_optimised(part: str) -> AbstractContextManager[object]:
    """Hide parameters with `part` in their names from the optimizer, although they require a gradient."""
    make = bench.training.trainer.make_optimizer

    def make_without(model: nn.Module, recipe: Any, method: Any) -> Any:
        optimizer = make(model, recipe, method)
        left_out = {parameter for name, parameter in model.named_parameters() if part in name}
        for group in optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if parameter not in left_out]
        return optimizer

    return patch.object(bench.training.trainer, "make_optimizer", make_without)


def _relabelled(change: Callable[[np.ndarray, int], np.ndarray]) -> AbstractContextManager[object]:
    """Make AVE's reader return wrong labels, in all splits alike."""
    labels = Release.labels
    return patch.object(Release, "labels", lambda self, event: change(labels(self, event), len(self.categories)))


@contextmanager
def _with_test_split(train: Callable[..., Any]) -> Iterator[None]:
    """Make the runner train by `train(real, test split, model, method, task, recipe, splits, ...)`."""
    measure, real = bench.execution.single_run.measure, bench.execution.single_run.train

    def measured(spec: Any, setup: Any, start: float) -> Any:
        test = setup.data.datasets[setup.task.test_splits[0]]
        with patch.object(bench.execution.single_run, "train", lambda *args, **rest: train(real, test, *args, **rest)):
            return measure(spec, setup, start)

    with (
        patch.object(bench.execution.single_run, "measure", measured),
        patch.object(bench.check.sanity_run, "measure", measured),
    ):
        yield


def _validated_on_test() -> AbstractContextManager[object]:
    """Train with the test split as the validation split."""

    def train(real: Callable[..., Any], test: Any, *args: Any, **rest: Any) -> Any:
        model, method, task, recipe, splits, accelerator = args
        return real(model, method, task, recipe, {**splits, "val": test}, accelerator, **rest)

    return _with_test_split(train)


def _chosen_by_test() -> AbstractContextManager[object]:
    """Train with the validation curve recorded, but the best epoch chosen by the test scores."""

    def train(real: Callable[..., Any], test: Any, *args: Any, **rest: Any) -> Any:
        score, calls = bench.training.trainer.score, []

        def score_both(model: Any, task: Any, split: Any, *rest: Any) -> Any:
            calls.append(task.summarize(score(model, task, test, *rest)[0])[task.metric])
            return score(model, task, split, *rest)

        def best(curve: Sequence[Any], metric: str) -> int:
            return 1 + int(np.argmax(calls))

        with (
            patch.object(bench.training.trainer, "score", score_both),
            patch.object(bench.training.trainer, "best_epoch", best),
        ):
            return real(*args, **rest)

    return _with_test_split(train)


def _dropout_left_on() -> AbstractContextManager[object]:
    """Leave the model in training mode while scoring."""
    return patch.object(bench.training.trainer.TaskModel, "eval", lambda self: self.train())


DEFECTS = {
    "s_c frozen at 0": Defect(lambda: _frozen(CrossModal, "scale", 0.0), "cola", "parameters: adapter"),
    "s_c multiplied by 0": Defect(_silenced, "cola", "parameters: no_gradient"),
    "DoRA's magnitude frozen": Defect(lambda: _frozen(DoRA, "magnitude"), "dora", "parameters: adapter"),
    "DoRA's magnitude not optimised": Defect(lambda: _not_optimised("magnitude"), "dora", "parameters: no_gradient"),
    "labels one category further": Defect(
        lambda: _relabelled(lambda labels, last: (labels + 1) % (last + 1)), "lora", "samples: targets.train"
    ),
    "labels one second later": Defect(
        lambda: _relabelled(lambda labels, _: np.roll(labels, 1)), "lora", "samples: targets.train"
    ),
    "test split validated on": Defect(_validated_on_test, "lora", "validation sample scored again"),
    "best epoch chosen by test": Defect(_chosen_by_test, "lora", "best epoch by the validation curve"),
    "dropout left on in scoring": Defect(_dropout_left_on, "lora", "validation sample scored again"),
}


def main() -> int:
    """Check AVE without and with each defect; return 0 if the first passes and the others fail for theirs."""
    lines, right = [], True
    for name, defect in {"none": Defect(nullcontext, "lora,dora,cola", ""), **DEFECTS}.items():
        rows: list[Any] = []
        start = time.perf_counter()
        with defect.plant(), TemporaryDirectory() as folder, _telling(rows):
            arguments = f"check --methods {defect.method} --tasks ave --jobs 1 --quiet --results".split()
            code = cli.main([*arguments, folder, *sys.argv[1:]])
        failed = [row for row in rows if row.failed]
        quantities = [row.quantity for row in failed if defect.found_by and defect.found_by in row.quantity]
        as_it_should = code == 1 and bool(quantities) if defect.found_by else code == 0
        right &= as_it_should
        remaining = len(failed) - len(quantities)
        reason = (
            f"{quantities[0]}{f' and {remaining} more' if remaining else ''}" if quantities else f"{remaining} others"
        )
        lines.append([name, code, reason if failed else "", f"{time.perf_counter() - start:.0f}", as_it_should])
        print(tabulate(lines, headers=["defect", "exit", "failed", "s", "as it should"]), flush=True)
    return int(not right)


@contextmanager
def _telling(rows: list[Any]) -> Iterator[None]:
    """Collect the rows that a check tells."""
    original_report = bench.cli.check._report

    def collect(failures: Sequence[Any], *rest: Any) -> int:
        rows.extend(failures)
        return original_report(failures, *rest)

    with patch.object(bench.cli.check, "_report", collect):
        yield


if __name__ == "__main__":
    sys.exit(main())
