"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from bench.text import escape
from bench.text.markdown import sides


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]], align: str) -> str:
    """Return a table whose cells are a line each.

    Args:
        header: of the columns.
        rows: cells, of any type.
        align: a letter a column, l or r; the last one is that of all others too.
    """
    cells = [[escape.line(str(cell)) for cell in row] for row in rows]
    return tabulate(
        cells,
        headers=[escape.line(name) for name in header],
        tablefmt="simple",
        disable_numparse=True,
        colalign=sides(align, len(header)) if cells else None,
    )
