"""Markdown from plain text, which is escaped so that it appears literally."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from bench.text import escape


def heading(level: int, text: str) -> str:
    """Return a heading; the top level is 1."""
    return f"{'#' * level} {escape.markdown(text)}"


def bullets(texts: Iterable[str]) -> str:
    """Return a bulleted list of the texts."""
    return "\n".join(f"- {escape.markdown_block(text)}" for text in texts)


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return escape.markdown_block(text)


def fold(summary: str, content: str) -> str:
    """Return Markdown behind a line that opens it: `summary`, which is a fixed text and none from records."""
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"


def code(language: str, text: str) -> str:
    """Return a fenced code block; no line of the text may begin with a backquote."""
    return f"```{language}\n{escape.terminal(text)}\n```"


def table(header: Sequence[str], lines: Sequence[Sequence[str]], align: str = "lr") -> str:
    """Return a table.

    Args:
        header: The columns' names.
        lines: The rows, each a sequence of cells.
        align: The columns' alignment, one letter each, l or r; the last letter also applies to all further columns.
    """
    return tabulate(
        [[escape.markdown(cell) for cell in line] for line in lines],
        headers=[escape.markdown(name) for name in header],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=sides(align, len(header)) if lines else None,
    )


def between_marks(page: Path, writer: str, content: str) -> str:
    """Return the text of a page with other content between the lines "<!-- written by WRITER -->" and "<!-- end -->".

    Raises:
        ValueError: The page lacks one of these lines.
    """
    begin, end = f"<!-- written by {writer} -->\n", "<!-- end -->"
    before, at_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _, at_end, after = rest.partition(end)
    if not (at_begin and at_end):
        raise ValueError(f"{page} lacks the line {begin.strip()}, or {end} below it")
    return f"{before}{begin}\n{content.strip()}\n\n{end}{after}"


def sides(align: str, columns: int) -> list[str]:
    """Return the alignment of columns for `tabulate`, from letters as in `table`."""
    return [{"l": "left", "r": "right"}[letter] for letter in align.ljust(columns, align[-1])]
