"""Data and settings in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def data_title(data: Mapping[str, Any]) -> str:
    """Return the data of a specification, in words that nobody takes for a benchmark's own."""
    only = f"; control: {' and '.join(data['streams'])} only" if data.get("streams") else ""
    if data["source"] == "official":
        return f"official data{only}"
    return f"generated data v{data['version']} (seed {data['seed']}), not the benchmark's own{only}"


def assignments(values: Mapping[str, Any]) -> str:
    """Return settings in one line, as --set takes them: "r=16, alpha=8.0, inter_scale=none"."""
    return ", ".join(f"{key}={setting(value)}" for key, value in values.items())


def setting(value: Any) -> str:
    """Return one value as --set takes it, which is as TOML writes it but for texts and none."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={json.dumps(item)}' for key, item in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)
