"""Measurements of speed and memory: `python -m perf`. They are ratios inside one process, taken by turns."""

import bench  # noqa: F401 - before torch, so that its threads wait as those of `bench` do
