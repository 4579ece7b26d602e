from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from bench.measurement.memory import Peak, StepClock, release_memory

CPU = torch.device("cpu")
MB = 1024**2


def peak_of(megabytes: int) -> Peak:
    peak = Peak(CPU)
    with peak.watching():
        array = np.ones(megabytes * MB // 8)
        time.sleep(0.1)
        del array
    return peak


def test_the_peak_is_that_of_this_run_and_not_of_an_earlier_one():
    large, small = peak_of(400), peak_of(40)
    assert large.kind == "resident size"
    assert 300 * MB < large.bytes - small.bytes < 500 * MB


def test_the_watcher_ends_with_an_error_inside():
    peak = Peak(CPU)
    with pytest.raises(RuntimeError), peak.watching():
        raise RuntimeError
    assert peak.bytes > 0
    release_memory()


def test_throughput_is_a_median_without_warm_up_and_pauses():
    clock = StepClock(CPU)
    clock.skip()
    for pause in (0.2, 0.2, 0.2, 0.01, 0.01, 0.01, 0.01):  # three slow steps, as in a warm-up
        time.sleep(pause)
        clock.tick(4)
    time.sleep(0.3)
    clock.skip()
    time.sleep(0.01)
    clock.tick(4)
    assert 150 < clock.throughput() < 400


def test_no_step_has_no_throughput():
    assert StepClock(CPU).throughput() == 0.0
