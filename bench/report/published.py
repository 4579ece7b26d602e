"""Figures published by others: shown separately as reported elsewhere, and never ranked with measured ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILE = Path(__file__).with_suffix(".toml")

Group = Literal["results", "ablations", "costs", "elsewhere"]
"""`results`: scores on the harness's tasks, with AVSBench MS3 as `avs_ms3`; `ablations`: parts of CoLA; `costs`: costs
of CoLA relative to LoRA; `elsewhere`: PEFT's own comparison, on a language task."""


def published(group: Group = "results") -> list[dict[str, Any]]:
    """Return the figures of a group in `published.toml`: one row per method, task and metric, in the order of the file.

    Args:
        group: Name of the group.

    Returns:
        Rows with the keys `task` ("" if not reported), `metric`, `method`, `score` (text in percent, e.g. "88.7 / 90.5
        / 86.0"), `splits` (the splits of these scores, in order; "" if there are none), `setting` (encoders),
        `trainable_millions` and `total_millions` (parameters; None if not reported), `source` (the paper), and `note`
        (how the computation of the score differs from ours; "" if it does not).
    """
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return [
        {
            "task": task,
            "metric": metric,
            "method": entry["method"],
            "score": score,
            "splits": entry.get("splits", content["splits"].get(task, "")),
            "setting": entry["setting"],
            "trainable_millions": entry.get("trainable_millions"),
            "total_millions": entry.get("total_millions"),
            "source": content["sources"][entry["source"]],
            "note": content["notes"].get(metric, ""),
        }
        for entry in content[group]
        for task, metric, score in entry["scores"]
    ]


def published_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the different notes of rows from `published`: how the computation of their scores differs from ours."""
    return [note for note in dict.fromkeys(row.get("note", "") for row in rows) if note]
