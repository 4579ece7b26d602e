"""HTML tables as elements, which the page's script can sort.

Every text becomes the text of an element, which `xml.etree` escapes; no markup is concatenated by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Generic, Literal, NamedTuple, TypeVar
from xml.etree.ElementTree import Element, SubElement

from bench.report.formatting import NONE

T = TypeVar("T")


class Cell(NamedTuple):
    """A cell: its text, the value that it is sorted by (None comes last), and the link of its text.

    Of an interval, `value` is its lower end, and `high` the other one.
    """

    text: str
    value: float | str | None = None
    link: str | None = None
    high: float | None = None


class Column(NamedTuple, Generic[T]):
    """A column: its group, its heading, its first sorting order, and a function that returns its cell of a row.

    The page's script writes those with a `key` anew when another reference is chosen.
    """

    group: str
    heading: str
    first: Literal["ascending", "descending"]
    cell: Callable[[T], Cell]
    key: str = ""


def table(
    caption: str, name: str, columns: Sequence[Column[T]], rows: Sequence[T], floors: Iterable[tuple[str, str]] = ()
) -> Element:
    """Return a table in a scrollable frame. Columns that are empty in all rows are left out.

    Args:
        caption: Caption of the table.
        name: Id of the caption.
        columns: The columns, one of them named "method", which has the row headings.
        rows: Rows, which the columns convert to cells.
        floors: Names and scores of unsorted lines at the bottom; the scores are in the column after "method".
    """
    cells = [[column.cell(row) for column in columns] for row in rows]
    visible = [index for index in range(len(columns)) if any(line[index].text != NONE for line in cells)]
    columns = [columns[index] for index in visible]
    cells = [[line[index] for index in visible] for line in cells]
    head = [column.heading for column in columns].index("method")
    frame = Element("div", {"class": "frame", "role": "region", "tabindex": "0", "aria-labelledby": name})
    markup = SubElement(frame, "table")
    SubElement(markup, "caption", {"id": name}).text = caption
    texts = [any(isinstance(line[index].value, str) for line in cells) for index in range(len(columns))]
    _add_head(SubElement(markup, "thead"), columns, texts)
    _add_body(markup, "rows", cells, head)
    fill = len(columns) - head - 2
    bottom = [[Cell(text) for text in (*[""] * head, *floor, *[""] * fill)] for floor in floors]
    if bottom:
        _add_body(markup, "floors", bottom, head)
    return frame


def plain_table(caption: str, name: str, header: Sequence[str], lines: Iterable[Sequence[str]]) -> Element:
    """Return a table that the page's script leaves as it is, in a scrollable frame; the first cells are headings."""
    frame = Element("div", {"class": "plain-frame", "role": "region", "tabindex": "0", "aria-labelledby": name})
    markup = SubElement(frame, "table")
    SubElement(markup, "caption", {"id": name}).text = caption
    head = SubElement(SubElement(markup, "thead"), "tr")
    for place, heading in enumerate(header):
        SubElement(head, "th", {"scope": "col", **({} if place else {"class": "text"})}).text = heading
    _add_body(markup, "plain", ([Cell(text) for text in line] for line in lines), 0)
    return frame


def _add_head(head: Element, columns: Sequence[Column[T]], texts: Sequence[bool]) -> None:
    """Add a line with the groups of columns, if any, and one with the columns; `texts` marks columns with text."""
    if any(column.group for column in columns):
        line = SubElement(head, "tr")
        for group, grouped in groupby(columns, key=lambda column: column.group):
            members = list(grouped)
            span = {"colspan": str(len(members))}
            keyed = {"data-keyed": ""} if members[0].key else {}
            if group:
                SubElement(line, "th", {"scope": "colgroup", **span, **keyed}).text = group
            else:
                SubElement(line, "td", span)
    line = SubElement(head, "tr")
    for column, is_text in zip(columns, texts, strict=True):
        kind = {"class": "text"} if is_text else {}
        key = {"data-key": column.key} if column.key else {}
        SubElement(line, "th", {"scope": "col", "data-first": column.first, **kind, **key}).text = column.heading


def _add_body(parent: Element, kind: str, lines: Iterable[Sequence[Cell]], head: int) -> None:
    """Add rows of cells; the cell at index `head` is the row's heading."""
    body = SubElement(parent, "tbody", {"class": kind})
    for line in lines:
        row = SubElement(body, "tr")
        for place, cell in enumerate(line):
            _add_cell(row, cell, is_head=place == head)


def _add_cell(row: Element, cell: Cell, is_head: bool) -> None:
    attributes = {"scope": "row"} if is_head else {}
    if isinstance(cell.value, str):
        attributes["class"] = "text"  # sorted by its text
    elif cell.value is not None:
        attributes["data-value"] = f"{cell.value:.6g}"
    if cell.high is not None:
        attributes["data-high"] = f"{cell.high:.6g}"
    element = SubElement(row, "th" if is_head else "td", attributes)
    if cell.link:
        element = SubElement(element, "a", {"href": cell.link, "rel": "noreferrer"})
    element.text = cell.text
