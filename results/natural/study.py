"""What the runs of experiment.toml are, for the scripts of this folder."""

from __future__ import annotations

import os
from pathlib import Path

from bench.config.suite import read_toml

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the folders of their encoders
EXPERIMENT = FOLDER / "experiment.toml"

_CONTENT = read_toml(EXPERIMENT)
TASKS = tuple(_CONTENT["tasks"])
SEEDS = tuple(_CONTENT["seeds"])
TRIALS = _CONTENT["searches"][0]["trials"]
MODELS = {stream: Path(values["model"]).name for stream, values in _CONTENT["set"].items()}
"""The folder of each stream's encoder, below `encoders`."""
