"""The measuring of speed: what it calls, in which order, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.measurement.speed import by_turns
from bench.measurement.spread import Spread

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2])  # `perf` is not installed
    from perf import floors, sections
    from perf.subjects import Size, Subject, methods

CPU = torch.device("cpu")


def test_alternatives_take_turns_and_the_order_is_reversed():
    order = []
    by_turns({name: lambda name=name: order.append(name) for name in "abc"}, "a", 2, CPU)
    assert "".join(order) == "cba" + "abc" + "cba"


def test_ratios_are_those_of_the_times(monkeypatch):
    """By a clock that only what is timed moves: how long a real one sleeps depends on what the machine does besides."""
    now = [0.0]

    def take(seconds):
        now[0] += seconds

    monkeypatch.setattr("bench.measurement.speed.time.perf_counter", lambda: now[0])
    threes = iter((9.0, 3.0, 2.0, 4.0, 3.0))  # the first round does not count
    times = by_turns({"one": lambda: take(1.0), "three": lambda: take(next(threes))}, "one", 4, CPU)
    assert times["one"].times == Spread(1, 1, 1)
    assert times["three"].times == Spread(median=3, low=2.75, high=3.25) and times["three"].seconds == 3


def test_what_is_compared_computes_the_same():
    """The forms of one method give equal losses, and go on doing so while they train."""
    size = Size("mini", reduction=8, videos=1, seconds=2)
    subjects = {name: Subject(size, make, CPU) for name, make in methods(4, size.reduction).items()}
    for _ in range(3):
        losses = {name: subject.loss().item() for name, subject in subjects.items()}
        for name in ("LoRA", "DoRA", "AdaLoRA"):
            assert losses[f"{name}, PEFT's layers"] == pytest.approx(losses[name], abs=1e-4)
        assert losses["CoLA, plain"] == pytest.approx(losses["CoLA"], abs=1e-4)
        for subject in subjects.values():
            subject.step()
    after = {name: subject.loss().item() for name, subject in subjects.items()}
    assert all(after[name] < losses[name] for name in after)
    assert abs(after["CoLA"] - after["LoRA"]) > 1e-6


@pytest.mark.parametrize("method", ["LoRA", "CoLA"])
@pytest.mark.parametrize("work", ["step", "score"])
def test_floors_contain_every_product(method: str, work: str):
    """Also in inference mode, which does not take products apart into those of two matrices."""
    size = Size("mini", reduction=8, videos=1, seconds=1)
    subject = Subject(size, methods(4, size.reduction)[method], CPU)
    if work == "score":
        subject.method.merge()
    products = floors.recorded(getattr(subject, work))
    assert product_flops(products.again) == product_flops(getattr(subject, work)) > 0


def product_flops(work) -> int:
    """Return the floating-point operations of the matrix products of some work, attention and convolutions left out."""
    with sections.flop_counter() as counter:
        work()
    counts = counter.get_flop_counts()["Global"].items()
    return sum(count for operator, count in counts if not any(word in str(operator) for word in ("attention", "conv")))
