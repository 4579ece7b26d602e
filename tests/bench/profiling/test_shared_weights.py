"""Streams that share the memory of what stays frozen compute as if each had its own."""

from __future__ import annotations

import copy

import torch

from bench.config.plan import RunRequest, make_plan
from bench.profiling.measure import random_streams
from bench.profiling.shared_weights import SharedStreams
from bench.training.setup import build_model, build_parts

METHODS = ["lora", "full", "cola", "dora", "head"]


def places(subject):
    """Where the parameters of the streams lie, by whether they are trained."""
    actual = {True: set(), False: set()}
    for parameter in subject.model.streams.parameters():
        actual[parameter.requires_grad].add(parameter.data_ptr())
    return actual


def test_what_is_frozen_lies_in_memory_once_and_what_is_trained_apart(make_subjects, small):
    subjects = make_subjects(METHODS)
    places_of = {name: places(subject) for name, subject in subjects.items()}
    lent = {
        p.data_ptr()
        for p in random_streams(make_plan(RunRequest("mini", ["head"], ["ave"], [0], small))[0]).parameters()
    }
    for name in ("lora", "cola", "dora", "head"):
        assert places_of[name][False] == lent
    assert not places_of["full"][False] and not places_of["full"][True] & lent
    trained = [place for name in METHODS for place in places_of[name][True]]
    assert len(trained) == len(set(trained))


def test_training_one_moves_no_other(make_subjects):
    subjects = make_subjects(METHODS)

    def outputs():
        with torch.no_grad():
            return {name: subject.model.eval()(subject.test) for name, subject in subjects.items()}

    initial = outputs()
    with subjects["full"].training():
        subjects["full"].step()
    final = outputs()
    assert not torch.allclose(final.pop("full"), initial.pop("full"))
    torch.testing.assert_close(final, initial)


def test_a_model_on_shared_streams_is_the_one_on_its_own(make_subjects, small):
    (spec,) = make_plan(RunRequest("mini", ["cola"], ["ave"], [0], small))
    task, method, _ = build_parts(spec)
    model, parameters = build_model(spec, task, method, copy.deepcopy(random_streams(spec)), None)
    subject = make_subjects(["cola"])["cola"]
    assert parameters == subject.parameters
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(subject.test), subject.model.eval()(subject.test))


def test_after_merging_memory_is_shared_again_and_nobody_is_changed(make_subjects):
    subjects = make_subjects(["lora", "dora", "head"])
    with torch.no_grad():
        for name in ("lora", "dora"):
            for parameter in subjects[name].model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.01)
        initial = {name: (places(s), s.model.eval()(s.test)) for name, s in subjects.items()}
        for name in ("lora", "dora"):
            with subjects[name].merged() as merges:
                assert merges
                torch.testing.assert_close(subjects[name].model(subjects[name].test), initial[name][1])
        with subjects["head"].merged() as merges:
            assert not merges
        for name, subject in subjects.items():
            assert places(subject) == initial[name][0]
            torch.testing.assert_close(subject.model(subject.test), initial[name][1])


def test_weights_that_a_method_replaces_are_its_own(small):
    """As `peft:pissa` does, or frozen weights in low precision."""
    (spec,) = make_plan(RunRequest("mini", ["head"], ["ave"], [0], small))
    streams = random_streams(spec)
    copied = SharedStreams(streams, torch.device("cpu")).copy()
    replaced, unchanged = list(copied.streams.parameters())[:2]
    replaced.data = replaced.data.to(torch.bfloat16)
    copied.settle()
    copied.share()
    assert replaced.dtype == torch.bfloat16
    assert unchanged.data_ptr() == list(streams.parameters())[1].data_ptr()
