"""Export of records: CSV, Parquet, PEFT's method comparison, and the `model-index` of model cards."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, UsageError, did_you_mean
from bench.files import atomic_file, write_text
from bench.records.schema import Record, stem
from bench.records.store import FOLDER, read_existing
from bench.report.export.frame import to_rows
from bench.text import escape

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)

FORMATS = {
    "csv": "records.csv",
    "parquet": "records.parquet",
    "peft": "peft",
    "model-index": "model-index",
}
"""The formats, and the file (of the first two) or folder (of the others) of each in the results folder."""


def export(results: Path, form: str, out: Path | None = None) -> tuple[Path, int]:
    """Export the records of a results folder.

    Tables have one row per run, including failed ones, the oldest first. The other formats have one file per completed
    run, named like its record. Each file is written atomically and replaces an earlier one; other files in the folder
    are left alone.

    Args:
        results: Results folder.
        form: One of `FORMATS`.
        out: The file or folder to write; None for the one of `FORMATS` in the results folder.

    Returns:
        The file or folder, and the number of runs.

    Raises:
        UsageError: The format is unknown.
        BenchError: There are no records, or none of a completed run for formats that need one, or `out` cannot be
            written.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form}: {did_you_mean(form, FORMATS)}")
    path = out or results / FORMATS[form]
    records = read_existing(results)
    try:
        if form in ("csv", "parquet"):
            _write_table(records, form, out.resolve() if out else path)  # a user's link is followed
        else:
            records = _finished(records, results)
            _write_each(records, path, *_writer(form, results))
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error}; choose another place with --out") from error
    return path, len(records)


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Return the rows of `to_rows` as a data frame whose columns have fixed types, so that its files read consistently.

    Integers stay integers even if some are missing. Lists, and columns of mixed types, become JSON.
    """
    import pandas as pd

    rows = to_rows(records)
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pd.Series:
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    for dtype, allowed in (("string", {str}), ("boolean", {bool}), ("Int64", {int}), ("float64", {int, float})):
        if kinds <= allowed:
            return pd.Series(values, dtype=dtype)
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pd.Series(texts, dtype="string")


def _write_table(records: Sequence[Record], form: str, path: Path) -> None:
    frame = table(records)
    if form == "csv":
        frame = frame.apply(lambda column: column.map(escape.csv_cell) if column.dtype == "string" else column)
        frame.columns = frame.columns.map(escape.csv_cell)
        write_text(path, frame.to_csv(index=False, lineterminator="\n"))
        return
    with atomic_file(path) as file:
        file.write(frame.to_parquet(index=False))


def _finished(records: Sequence[Record], results: Path) -> list[Record]:
    finished = [record for record in records if record.test_score is not None]
    if not finished:
        raise BenchError(f"no run in {results / FOLDER} is completed: there are no scores to write")
    if failed := len(records) - len(finished):
        _log.warning("left out: %d failed of %d runs", failed, len(records))
    return finished


def _writer(form: str, results: Path) -> tuple[str, Callable[[Record], str]]:
    """Return the suffix of the files, and the function that converts a record to their text."""
    if form == "peft":
        from bench.report.export.peft import peft_text

        return ".json", lambda record: peft_text(record, results)
    from bench.saved_adapters.model_index import model_index_text

    return ".yaml", model_index_text


def _write_each(records: Sequence[Record], folder: Path, suffix: str, text: Callable[[Record], str]) -> None:
    for record in records:
        write_text(folder / f"{stem(record.spec)}{suffix}", text(record))
