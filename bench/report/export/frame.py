"""Records as flat rows and as a pandas data frame."""

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
    """Return the records as a data frame: one row per run as in `to_rows`, with NaN for what a failed run lacks.

    Lists, for example in settings, are converted to JSON, so that every column can be grouped by.
    """
    import pandas as pd

    return pd.DataFrame([{name: _cell(value) for name, value in row.items()} for row in to_rows(records)])


def to_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return one flat row per record, with its section and row in the leaderboard.

    `condition` is the title of its section: suite, data, and changes to the task or the recipe. `label` is the label of
    its row. Runs with equal `task`, `condition` and `label` differ in their seeds only; only rows of equal `task` and
    `condition` are comparable. As in the leaderboard, labels and conditions list differences from the most frequent
    values among these records. The other keys are those of `to_row`.
    """
    from bench.report.places import places

    listed = list(records)
    return [
        {"condition": condition, "label": label, **to_row(record)}
        for record, (condition, label) in zip(listed, places(listed), strict=True)
    ]


def to_row(record: Record) -> dict[str, Any]:
    """Return one record as a flat row.

    `score` is the primary test score. Other keys are `test.<metric>` for each metric; the measurements, e.g.
    `parameters.adapter` and `memory.train_peak`; `environment.<key>`; and the specification: `setting.<name>` for the
    method's settings, `task_setting.<name>` for the task's, `recipe.<field>`, `stream.<name>` for the encoders, and
    `data.<key>`, including the fingerprint and the number of skipped samples. `recipe.<field>` is the requested value;
    `epochs`, `steps` and `environment.precision` are the actual ones. `tuned` is the file of tuned settings. Keys that
    a failed run did not measure are left out; values that are not finite are None.
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
