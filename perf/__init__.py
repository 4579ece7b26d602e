"""Measurements of speed and memory: `python -m perf`. They are ratios inside one process, taken by turns."""
