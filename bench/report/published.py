"""Figures that others have published: shown as reported elsewhere, never ranked with measured ones."""

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
"""`results`: scores on tasks of the harness, and on AVSBench MS3 as `avs_ms3`; `ablations`: parts of CoLA; `costs`:
what CoLA costs against LoRA; `elsewhere`: PEFT's own comparison, on a language task."""


def published(group: Group = "results") -> list[dict[str, Any]]:
    """Return the figures of a group in `published.toml`: a row per method, task and metric, in the order of the file.

    Args:
        group: which figures.

    Returns:
        Rows with the keys `task` ("" where it was not given), `metric`, `method`, `score` (text, as in "88.7 / 90.5 /
        86.0", in percent), `splits` (which the scores are of, in their order; "" where there are none), `setting`
        (encoders), `trainable_millions` and `total_millions` (parameters; None where not given), `source` (the paper),
        `note` (how the score was computed otherwise than ours; "" where it was not).
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
    """Return notes on rows of `published`: how their scores were computed differently from ours, each note once."""
    return [note for note in dict.fromkeys(row.get("note", "") for row in rows) if note]
