"""Checks of single records that need neither margins nor a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.check.baseline import counts
from bench.check.compare import Row, exact
from bench.records.schema import Record
from bench.training.trainer import best_epoch

REPEATED = 1e-3
"""Allowed change of a sample's score, in percent, when it is scored again: GPUs may sum in another order."""


def check_records(records: Sequence[Record]) -> list[Row]:
    """Return a row for each failed check of a record; a single row if all pass.

    - The run completed.
    - The best epoch and its scores agree with the validation curve.
    - Scoring validation samples again with the final weights reproduces their scores. It does not if dropout is still
      active, if the wrong weights were restored, or if another split was used for validation.
    - The validation scores are not those of the test split.
    - All seeds have equal parameter counts.
    """
    return [row for record in records for row in _check_record(record, records)]


def _check_record(record: Record, records: Sequence[Record]) -> list[Row]:
    task, method, seed = record.spec.task, record.spec.method, record.spec.seed
    rows: list[Row] = []

    def wrong(quantity: str, expected: object, value: object) -> None:
        rows.append(exact(task, method, f"seed {seed}: {quantity}", expected, value))

    scores = record.scores
    if record.failure or not scores or not scores.splits:
        wrong("run", "completes", f"failed: {record.failure or 'it scored no split'}")
        return rows
    best = scores.validation[best_epoch(scores.validation, scores.metric) - 1]
    if scores.best_epoch != best.epoch:
        wrong("best epoch by the validation curve", best.epoch, scores.best_epoch)
    elif _comparable(scores.splits["val"]) != _comparable(best.scores):
        wrong(f"validation scores of epoch {best.epoch}", best.scores, scores.splits["val"])
    if scores.repeated is None or not scores.repeated <= REPEATED:
        wrong(
            "a validation sample scored again differs by",
            0,
            "other samples" if scores.repeated is None else scores.repeated,
        )
    sizes = record.data.counts if record.data else {}
    for split, values in scores.splits.items():
        # Percentages of different numbers of samples may be equal by chance.
        if split != "val" and values == scores.splits["val"] and sizes.get(split) == sizes.get("val"):
            wrong(f"validation scores are those of {split}", "different", values)
    first = next(candidate for candidate in records if (candidate.spec.task, candidate.spec.method) == (task, method))
    if counts(record.parameters) != counts(first.parameters):
        wrong("parameters of all seeds", counts(first.parameters), counts(record.parameters))
    return rows or [Row("exact", task, method, f"seed {seed}: integrity", "5 checks", "passed", "", "none", 0.0)]


def _comparable(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Return scores with None in place of NaN, so that these compare as equal."""
    return {name: None if math.isnan(score) else score for name, score in scores.items()}
