"""`bench` on little data, and on a clock that steps: the program that the chaos test starts, kills and starts again.

Processes that it spawns run this module too (as `__mp_main__`), so that what is changed here holds in them as well.
"""

import os
import sys
import time
from dataclasses import replace

from bench.datasets.mini import write

VIDEOS = {"train": 32, "val": 12, "test": 12}
STEP_FROM = "CHAOS_CLOCK_FROM"  # seconds since 1970 by the true clock, from when the process sees another one
STEP_BY = "CHAOS_CLOCK_BY"  # seconds by which that one differs

write.AVE = replace(write.AVE, counts=VIDEOS)


def step_clock(begin: float, seconds: float) -> None:
    """Let this process see the wall clock step: `time.time`, and the start times of processes that psutil reckons."""
    import psutil

    true_time, true_start = time.time, psutil.Process.create_time

    def stepped() -> float:
        return seconds if true_time() >= begin else 0.0

    time.time = lambda: true_time() + stepped()
    psutil.Process.create_time = lambda process: true_start(process) + stepped()


if "CHAOS_STALE" in os.environ:  # so that a claim can be taken over in a test
    from bench.execution import claims

    claims.TOUCH_INTERVAL, claims.STALE_AFTER = float(os.environ["CHAOS_BEAT"]), float(os.environ["CHAOS_STALE"])

if STEP_FROM in os.environ:
    step_clock(float(os.environ[STEP_FROM]), float(os.environ[STEP_BY]))


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main())
