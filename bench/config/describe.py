"""Text for data and settings in tables and messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def data_title(data: Mapping[str, Any], worlds: Sequence[int] = ()) -> str:
    """Return a title for the data of a specification, which never passes generated data off as a benchmark's own.

    Args:
        data: The data.
        worlds: Seeds of generated or composed data, if not its own one only.
    """
    only = f"; control: {' and '.join(data['streams'])} only" if data.get("streams") else ""
    if data["source"] == "official":
        return f"official data{only}"
    if data["source"] == "own":
        name = f" ({Path(data['path']).name})" if data.get("path") else ""
        return f"the user's own data{name}, not a benchmark's{only}"
    seeds = f"worlds {', '.join(map(str, worlds))}" if worlds else f"world {data['seed']}"
    sounds = "spoken names" if data.get("sounds") == "names" else "sounds"
    name = f"composed from natural pictures and {sounds}" if data["source"] == "composed" else "generated data"
    return f"{name} v{data['version']} ({seeds}), not the benchmark's own{only}"


def assignments(values: Mapping[str, Any]) -> str:
    """Return settings in one line, in the form of --set: "r=16, alpha=8.0, inter_scale=none"."""
    return ", ".join(f"{key}={setting(value)}" for key, value in values.items())


def setting(value: Any) -> str:
    """Return a value in the form of --set, which is that of TOML except for texts and none."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={json.dumps(item)}' for key, item in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)
