"""Settings that make the audio-visual streams of the suite mini smaller: one block and few tokens, without weights."""

from __future__ import annotations

import json
from pathlib import Path

from bench.streams.sources import WEIGHTS


def small_streams(folder: Path) -> list[str]:
    """Write the shapes of small encoders into a folder, and return the settings that name them."""
    for name, model in (("vision", "vision-v2"), ("audio", "audio-v1")):
        (folder / name).mkdir()
        config = json.loads((WEIGHTS / model / "config.json").read_text())
        config = {
            key: value for key, value in config.items() if key not in ("out_features", "out_indices", "stage_names")
        }
        config["num_hidden_layers"] = 1
        (folder / name / "config.json").write_text(json.dumps(config))
        preprocessor = (WEIGHTS / model / "preprocessor_config.json").read_text()
        (folder / name / "preprocessor_config.json").write_text(preprocessor)
    models = [f"{name}.model={folder / name}" for name in ("vision", "audio")]
    return [*models, "vision.size=24", "audio.frames=48"]
