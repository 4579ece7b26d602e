"""What the runs of experiment.toml are, for the scripts of this folder."""

from __future__ import annotations

import os
from pathlib import Path

from bench.config.suite import read_toml

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the file of their settings
EXPERIMENT = FOLDER / "experiment.toml"

_CONTENT = read_toml(EXPERIMENT)
_STAGES = {stage["name"]: stage for stage in _CONTENT["stages"]}
AUDIO_VISUAL = ("ave", "avs")
GROUNDING = ("refcoco", "refcoco_plus", "refcocog")
TASKS = (*AUDIO_VISUAL, *GROUNDING)
(JOINT_TASK,) = _STAGES["together"]["tasks"]
FIVE, TEN = tuple(_CONTENT["seeds"]), tuple(_STAGES["more-seeds"]["seeds"])
TEN_SEED_METHODS = tuple(_STAGES["more-seeds"]["methods"])
FIVE_SEED_METHODS = tuple(method for method in _STAGES["main"]["methods"] if method not in TEN_SEED_METHODS)
TRIALS = _CONTENT["searches"][0]["trials"]
