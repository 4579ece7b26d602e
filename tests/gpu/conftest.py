"""What tests on a GPU share. With DRY=1 they run on the CPU, so that their code is run where there is no GPU."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from accelerate import Accelerator
from small_streams import small_streams

from bench.config.plan import RunRequest, make_plan
from bench.config.recipe import Recipe
from bench.config.spec import Spec
from bench.measurement.memory import release_memory
from bench.profiling.measure import random_streams
from bench.profiling.shared_weights import SharedStreams
from bench.profiling.subject import Subject, examples
from bench.training.setup import build_parts, make_accelerator

MakeSubject = Callable[..., Subject]


@pytest.fixture(scope="session")
def device() -> str:
    """The device of the tests; they are skipped where there is none."""
    if os.environ.get("DRY") == "1":
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device: DRY=1 runs this test on the CPU, as far as the CPU can")
    return "cuda"


@pytest.fixture(autouse=True)
def clean_memory():
    """Leave no memory of a test to the next."""
    yield
    release_memory()


@pytest.fixture(scope="session")
def spec(device: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Spec]:
    """Return a function that makes specifications of runs of the suite mini, in float32 unless changed.

    On a CPU the streams of audio-visual tasks are smaller.
    """
    small = small_streams(tmp_path_factory.mktemp("encoders")) if device == "cpu" else []

    def make_spec(method: str, task: str, *changes: str) -> Spec:
        sizes = small if task in ("ave", "avs") else []
        (spec,) = make_plan(RunRequest("mini", [method], [task], [0], ["train.precision=no", *sizes, *changes]))
        return spec

    return make_spec


@pytest.fixture
def make(device: str, spec: Callable[..., Spec]) -> MakeSubject:
    """Return a function that makes a method's model on streams with random weights, and random samples."""

    def make_subject(
        method: str,
        task: str,
        *changes: str,
        samples: int = 1,
        on: str = device,
        accelerator: Accelerator | None = None,
    ) -> Subject:
        run = spec(method, task, *changes)
        accelerator = accelerator or make_accelerator(on, Recipe(**run.recipe))
        streams = random_streams(run)
        batches = examples(build_parts(run)[0], streams, samples, accelerator.device)
        return Subject(run, SharedStreams(streams, accelerator.device).copy(), accelerator, *batches)

    return make_subject
