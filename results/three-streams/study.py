"""What the runs of experiment.toml are, for the scripts of this folder."""

from __future__ import annotations

import os
from pathlib import Path

from bench.config.suite import read_toml

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the file of their settings
EXPERIMENT = FOLDER / "experiment.toml"

_CONTENT = read_toml(EXPERIMENT)
TASKS = tuple(_CONTENT["tasks"])
TRIALS = _CONTENT["searches"][0]["trials"]
