"""The file of a record, and its results folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RecordFile:
    """The file of a record, and the other records of the same run in its folder. Not part of the record itself.

    Attributes:
        stem: Name of the file without its suffix; empty if the record has no file.
        earlier: Stems of the records that do not count because code, encoders or data differ, or because they were
            set aside when the run was repeated.
        unequal: Stems of the records that do not count although code, encoders and data agree; only their contents
            differ.
        results: The results folder; None if the record was neither read from one nor written into one.
    """

    stem: str = ""
    earlier: tuple[str, ...] = ()
    unequal: tuple[str, ...] = ()
    results: Path | None = None
