"""`python -m perf` measures whatever it names: what it uses of the project still exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_every_table_is_there():
    command = [sys.executable, "-m", "perf", "--rounds", "1", "--runs", "2", "--device", "cpu"]
    text = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True).stdout
    for row in ("CoLA r 16, training step", "harness against", "`bench leaderboard`", "ViT-B, 4 rows", "attention"):
        assert f"| {row}" in text
    assert "medians of 2 runs" in text and "nan" not in text
