"""Mock methods, tasks, a suite and measured values, with which the whole harness is tested in seconds."""

from __future__ import annotations

import dataclasses
import functools
import math
import resource
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import UsageError
from bench.execution.executor import option
from bench.methods.base import Method
from bench.records.schema import (
    SCHEMA,
    DataInfo,
    Environment,
    Epoch,
    Memory,
    Parameters,
    Record,
    Scores,
    Throughput,
    Times,
)


@dataclass
class LoRA(Method):
    """Low-rank updates, made up.

    Not shown in lists.
    """

    r: int = 16
    alpha: float = 8.0

    def __post_init__(self) -> None:
        if self.r < 1:
            raise ValueError(f"r must be at least 1, not {self.r}")

    def attach(self, model: Any) -> None:
        raise NotImplementedError


@dataclass
class CoLA(LoRA):
    """Cross-modal low-rank updates, made up."""

    inter_scale: float | None = None
    summary: Literal["cls", "mean"] = "cls"
    targets: tuple[str, ...] = ("q", "v")


@dataclass
class AVE:
    """Events in video and sound, made up."""

    benchmark: ClassVar[str] = "AVE"
    metric: ClassVar[str] = "accuracy"
    metrics: ClassVar[dict[str, str]] = {"accuracy": "made up"}
    layout: ClassVar[str] = "ave"
    hidden: int = 512


@dataclass
class AVS:
    """Masks of what sounds, made up."""

    benchmark: ClassVar[str] = "AVSBench S4"
    metric: ClassVar[str] = "miou"
    metrics: ClassVar[dict[str, str]] = {"miou": "made up"}
    layout: ClassVar[str] = "avs"
    task_type: ClassVar[str] = "image-segmentation"
    window_s: float = 1.0


def positive(text: str, flag: str) -> float:
    """Return a number above 0, as `positive` in docs/extend/executor.md."""
    value = float(text)
    if value <= 0:
        raise ValueError("it must be above 0")
    return value


@dataclass(frozen=True)
class Signed:
    """A mock executor: every record has the option `name` as its device."""

    name: str = option("nobody", "--signed-by", "NAME", "who does the runs", lambda text, flag: text)
    pause: float = option(1.0, "--pause", "SECONDS", "an option whose `parse` raises a ValueError", positive)

    def check(self) -> None:
        if not self.name:
            raise UsageError("--signed-by is a name")

    def execute(
        self, take: Callable[[], Spec | None], options: RunOptions, specs: Sequence[Spec]
    ) -> Generator[Record, None, None]:
        from bench.execution import process_pool

        while spec := take():
            trained_record = process_pool.execute_run(spec, options, 1)
            yield dataclasses.replace(trained_record, environment=dataclasses.replace(ENVIRONMENT, device=self.name))


ENTRY_POINTS = {
    "bench.methods": [
        EntryPoint("lora", "mocks:LoRA", "bench.methods"),
        EntryPoint("cola", "mocks:CoLA", "bench.methods"),
        EntryPoint("gone", "no_such_package.gone:Gone", "bench.methods"),
    ],
    "bench.tasks": [EntryPoint("ave", "mocks:AVE", "bench.tasks"), EntryPoint("avs", "mocks:AVS", "bench.tasks")],
    **{group: [*entry_points(group=group)] for group in ("bench.datasets", "bench.encoders")},
    "bench.suites": [],
    "bench.executors": [
        EntryPoint("local", "bench.execution.local_executor:LocalExecutor", "bench.executors"),
        EntryPoint("ray", "bench.execution.ray_executor:RayExecutor", "bench.executors"),
        EntryPoint("signed", "mocks:Signed", "bench.executors"),
    ],
}

FEW = {"train": 6, "val": 2, "test": 3}
"""Videos per split in tests that generate some."""

EACH_ONCE = ("train.train_share=1", "train.passes=1", "train.views=2")
"""Changes for runs on so few videos: the recipes of `mini` use a share of the samples many times, in many views."""

SUITE = """\
name = "mock"
about = "Nothing is trained."

[data]
source = "generated"
version = 3
seed = 7

[streams.vision]
model = "embedded:vision-v2"

[streams.audio]
model = "embedded:audio-v1"

[train]
epochs = 4
batch_size = 8
eval_batch_size = 32
lr_adapter = 1e-3
lr_head = 2e-3
weight_decay = 0
warmup = 0.1
clip = 1.0
precision = "auto"

[tasks.ave]
streams = ["vision", "audio"]

[tasks.ave.methods.cola]
inter_scale = 0.1

[tasks.avs]
streams = ["vision", "audio"]

[tasks.avs.train]
epochs = 6

[tasks.avs.settings]
window_s = 2
"""

ENVIRONMENT = Environment(
    python="3.11.9",
    platform="Linux-x86_64",
    device="cpu",
    threads=2,
    versions={"torch": "2.13.0", "peft": "0.21.2"},
    commit="0123456789abcdef0123456789abcdef01234567",
    dirty=False,
)


RECIPE = {"epochs": 4, "batch_size": 8, "eval_batch_size": 32, "lr_adapter": 1e-3, "lr_head": 2e-3, "weight_decay": 0.0}
RECIPE |= {"warmup": 0.1, "clip": 1.0, "precision": "auto"}
"""The settings of every recipe."""

METRICS = {"ave": ("accuracy", "f1"), "avs": ("miou", "f_score")}  # other tasks are of grounding


def record(spec: Spec, score: float = 70.0, **changes: Any) -> Record:
    """Return the record of a finished run with this primary score on the test split."""
    metric, second_metric = METRICS.get(spec.task, ("accuracy@0.5", "miou"))
    r = spec.settings.get("r", 1)
    adapter = 1000 * (r if isinstance(r, int) else 4)  # as if a table had this rank on average
    mock_record = Record(
        schema=SCHEMA,
        id=spec.id,
        spec=spec,
        status="ok",
        reason=None,
        traceback=None,
        started=f"2026-01-01T00:00:{spec.seed % 60:02}+00:00",
        finished=f"2026-01-01T00:01:{spec.seed % 60:02}+00:00",
        scores=Scores(
            metric=metric,
            validation=[Epoch(epoch=1, step=10, train_loss=0.5, scores={metric: score - 1, second_metric: score - 2})],
            best_epoch=1,
            test={metric: score, second_metric: score / 2},
            test_samples=1000,
            floors={"constant answer": 30.0, "sound alone": 41.5},
        ),
        parameters=Parameters(
            adapter, 2500, adapter + 2500, total=900_000, streams=800_000, percent=2.0, active=adapter, no_gradient=0
        ),
        memory=Memory(kind="resident size", train_peak=812_000_000, score_peak=640_000_000),
        throughput=Throughput(train=151.25, score=420.0, score_unmerged=400.0, score_merged=500.0),
        times=Times(data=1.0, model=0.5, train=50.0, score=4.0, total=55.5),
        data=DataInfo(source=spec.data["source"], fingerprint="abc", counts={"train": 90, "test": 10}, skipped=0),
        environment=ENVIRONMENT,
    )
    return dataclasses.replace(mock_record, **changes)


@contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    """Limit files in the block to `room` bytes; a limit on their size applies to root too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def generate_few(patch: Any) -> None:
    """Let every layout be generated with a few samples (`FEW`), by a pytest.MonkeyPatch.

    It is done in this process, which takes less time than to start others. If several processes of tests want the same
    data, one makes it and the others wait.
    """
    from filelock import FileLock

    from bench.datasets import build

    original, ensure = build.generator_of, build.ensure

    def generator_of(layout: str, *rest: Any) -> Any:
        generator = original(layout, *rest)
        return dataclasses.replace(generator, counts={split: FEW.get(split, 3) for split in generator.counts})

    def ensure_once(cache: Path, layout: str, seed: int = 0, **rest: Any) -> Any:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "generating.lock"):
            return ensure(cache, layout, seed, **rest)

    in_process = SimpleNamespace(map=lambda function, jobs, chunksize: map(function, jobs))
    patch.setattr(build, "generator_of", generator_of)
    patch.setattr(build, "ensure", ensure_once)
    patch.setattr(build, "process_pool", lambda workers: nullcontext(in_process))


def count_once(patch: Any) -> None:
    """Count the parameters of a method on the same streams once for all budgets, by a pytest.MonkeyPatch."""
    from bench.config import budget

    patch.setattr(budget, "_Outlines", functools.cache(budget._Outlines))


def failed(spec: Spec, reason: str = "the loss is not finite at step 3") -> Record:
    """Return the record of a run that failed while training."""
    none = dict.fromkeys(("scores", "parameters", "memory", "throughput", "times", "data"))
    return record(spec, status="failed", reason=reason, traceback="Traceback ...", **none)


def trial(spec: Spec) -> Record:
    """Return the record of a run of `bench tune`: the nearer an adapter's rate is to 3e-4, the better.

    It fails above 6e-3. Seeds differ by a point, and the best of three epochs is the second.
    """
    rate = spec.recipe["lr_adapter"]
    if rate > 6e-3:
        return failed(spec)
    best = 70 - 20 * abs(math.log10(rate / 3e-4)) - spec.seed
    mock_record = record(spec)
    curve = [
        Epoch(number, number, 0.5, {mock_record.scores.metric: best - worse})
        for number, worse in ((1, 5.0), (2, 0.0), (3, 9.0))
    ]
    scores = dataclasses.replace(mock_record.scores, validation=curve, best_epoch=2, test={}, test_samples=0, floors={})
    return dataclasses.replace(mock_record, scores=scores, memory=None, throughput=None)
