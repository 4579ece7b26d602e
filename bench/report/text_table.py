"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from bench.text import escape
from bench.text.markdown import sides


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]], align: str) -> str:
    """Return a table with one line per row.

    Args:
        header: Headings of the columns.
        rows: Rows of cells of any type.
        align: One letter per column, l or r; the last one applies to all further columns.
    """
    cells = [[escape.line(str(cell)) for cell in row] for row in rows]
    return tabulate(
        cells,
        headers=[escape.line(name) for name in header],
        tablefmt="simple",
        disable_numparse=True,
        colalign=sides(align, len(header)) if cells else None,
    )
