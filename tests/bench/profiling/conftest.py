from __future__ import annotations

import pytest
import torch
from small_streams import small_streams

from bench.config.plan import RunRequest, make_plan
from bench.config.recipe import Recipe
from bench.profiling.measure import random_streams
from bench.profiling.shared_weights import SharedStreams
from bench.profiling.subject import Subject, examples
from bench.training.setup import build_parts, make_accelerator


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Return settings that make the streams of the suite mini smaller: one block and few tokens, without weights."""
    return small_streams(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="session")
def make_subjects(small):
    """Return a function that makes subjects on small streams, by method."""

    def make(methods, samples=1, overrides=()):
        specs = make_plan(RunRequest("mini", methods, ["ave"], [0], [*small, *overrides]))
        accelerator = make_accelerator("cpu", Recipe(**specs[0].recipe))
        streams = random_streams(specs[0])
        shared = SharedStreams(streams, accelerator.device)
        train, test = examples(build_parts(specs[0])[0], streams, samples, torch.device("cpu"))
        return {spec.method: Subject(spec, shared.copy(), accelerator, train, test) for spec in specs}

    return make
