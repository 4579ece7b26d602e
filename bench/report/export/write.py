"""Records in the forms that other tools read: CSV, Parquet, PEFT's method comparison, a model card's `model-index`."""

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
"""The formats, and where in the results folder each one goes: the first two are one file, the others a folder."""


def export(results: Path, form: str, out: Path | None = None) -> tuple[Path, int]:
    """Write the records of a results folder in another form.

    Tables have a row a run, failed ones too, the oldest first. The other forms are a file a finished run, called as its
    record is. Each file is written whole or not at all, in place of an earlier one; other files of a folder stay.

    Args:
        results: results folder.
        form: one of `FORMATS`.
        out: the file, or the folder; None for the one that `FORMATS` names in the results folder.

    Returns:
        Where it was written, and how many runs.

    Raises:
        UsageError: there is no such format.
        BenchError: there are no records, or none of a finished run where only those are written, or `out` cannot be
            written.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form}: {did_you_mean(form, FORMATS)}")
    path = out or results / FORMATS[form]
    records = read_existing(results)
    try:
        if form in ("csv", "parquet"):
            _write_table(records, form, out.resolve() if out else path)  # the user's own link is followed
        else:
            records = _finished(records, results)
            _write_each(records, path, *_writer(form, results))
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error}; choose another place with --out") from error
    return path, len(records)


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Return the rows of `to_frame`, each column with the type of its values, so that files of it always read the same.

    Whole numbers stay whole where some are missing. Lists, and columns of several types, become JSON.
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
        raise BenchError(f"no run in {results / FOLDER} came to its end: there are no scores to write")
    if failed := len(records) - len(finished):
        _log.warning("left out: %d of %d runs, which failed", failed, len(records))
    return finished


def _writer(form: str, results: Path) -> tuple[str, Callable[[Record], str]]:
    """Return the suffix of the files, and what makes a record their text."""
    if form == "peft":
        from bench.report.export.peft import peft_text

        return ".json", lambda record: peft_text(record, results)
    from bench.saved_adapters.model_index import model_index_text

    return ".yaml", model_index_text


def _write_each(records: Sequence[Record], folder: Path, suffix: str, text: Callable[[Record], str]) -> None:
    for record in records:
        write_text(folder / f"{stem(record.spec)}{suffix}", text(record))
