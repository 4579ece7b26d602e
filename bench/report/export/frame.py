"""Records as flat rows, and as a pandas table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.config.recipe import complete
from bench.records.schema import Record

if TYPE_CHECKING:
    import pandas as pd


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return the records as a pandas table: a row per run, as in `to_rows`, `nan` where a failed run has no measure.

    Lists, as among settings, are their JSON, so that every column can be grouped by.
    """
    import pandas as pd

    return pd.DataFrame([{name: _cell(value) for name, value in row.items()} for row in to_rows(records)])


def to_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the records, flat, with what tells in which row of the leaderboard each stands.

    `condition` is the heading of its tables there: suite, data, and what is changed of the task or the recipe. `label`
    is the name of its row. Runs of one `task`, `condition` and `label` differ in their seeds only; any others do not
    compare. As in the leaderboard, labels and conditions say what differs from what most of these records have. The
    other keys are those of `to_row`.
    """
    from bench.report.places import places

    listed = list(records)
    return [
        {"condition": condition, "label": label, **to_row(record)}
        for record, (condition, label) in zip(listed, places(listed), strict=True)
    ]


def to_row(record: Record) -> dict[str, Any]:
    """Return one record, flat.

    `score` is the primary test score. Other keys are `test.<metric>` for each metric, the measures of the record's
    parts, as in `parameters.adapter` and `memory.train_peak`, `environment.<key>` for what measures of memory and speed
    depend on, and the specification: `setting.<name>` for each setting of the method, `task_setting.<name>` for each of
    the task, `recipe.<field>`, `stream.<name>` for each stream's encoder, and `data.<key>`, with the fingerprint and
    the number of skipped samples. The recipe is what was asked for; `epochs`, `steps` and `environment.precision` are
    what was done. `tuned` is the file that settings were tuned to. What a failed run has not measured is left out;
    what is not finite is None.
    """
    spec = record.spec
    row = {key: getattr(spec, key) for key in ("suite", "task", "method", "seed")}
    row |= {"id": record.id, "status": record.outcome, "reason": record.failure, "started": record.started}
    row |= {"tuned": record.tuned.get("file") if record.tuned else None, "steps": record.step}
    if scores := record.scores:
        curve = scores.validation
        row |= {"epochs": len(curve), "steps": curve[-1].step if curve else None}
        row |= {"metric": scores.metric, "score": record.test_score, "best_epoch": scores.best_epoch}
        row |= {f"test.{metric}": value for metric, value in scores.test.items()}
    for part in ("parameters", "memory", "throughput", "times"):
        if measured := getattr(record, part):
            row |= {f"{part}.{name}": value for name, value in asdict(measured).items()}
    if environment := record.environment:
        names = ("device", "precision", "threads", "jobs", "processes", "commit", "dirty")
        row |= {f"environment.{name}": getattr(environment, name) for name in names}
    row |= {f"data.{key}": value for key, value in spec.data.items()}
    if record.data:
        row |= {"data.fingerprint": record.data.fingerprint, "data.skipped": record.data.skipped}
    parts = {"setting": spec.settings, "task_setting": spec.task_settings, "recipe": complete(spec.recipe)}
    for column, values in parts.items():
        row |= {f"{column}.{name}": value for name, value in values.items()}
    row |= {f"stream.{name}": source["model"] for name, source in spec.streams.items()}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value
