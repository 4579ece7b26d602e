"""Markdown out of plain text: whatever is written in it is shown as it is, and begins nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from bench.text import escape


def heading(level: int, text: str) -> str:
    """A heading of this level, from 1."""
    return f"{'#' * level} {escape.markdown(text)}"


def bullets(texts: Iterable[str]) -> str:
    """A list, an item a text."""
    return "\n".join(f"- {escape.markdown_block(text)}" for text in texts)


def paragraph(text: str) -> str:
    """A paragraph."""
    return escape.markdown_block(text)


def code(language: str, text: str) -> str:
    """Lines of code of which none begins with a backquote."""
    return f"```{language}\n{escape.terminal(text)}\n```"


def table(header: Sequence[str], lines: Sequence[Sequence[str]], align: str = "lr") -> str:
    """A table.

    Args:
        header: of the columns.
        lines: cells.
        align: a letter a column, l or r; the last one is that of all others too.
    """
    return tabulate(
        [[escape.markdown(cell) for cell in line] for line in lines],
        headers=[escape.markdown(name) for name in header],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=sides(align, len(header)) if lines else None,
    )


def sides(align: str, columns: int) -> list[str]:
    """How columns stand, for `tabulate`: a letter each, l or r, of which the last is that of all others too."""
    return [{"l": "left", "r": "right"}[letter] for letter in align.ljust(columns, align[-1])]
