"""Measurements of speed and memory: `python -m perf`. Alternatives alternate in one process, and ratios are shown."""

import bench  # noqa: F401 - before torch, so that threads wait as they do in `bench`
