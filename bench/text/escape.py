"""Text from files of others, as records are, made harmless for each place that it is shown in: one function for each.

All of them first write what cannot be seen, or is obeyed by what shows it, as Python's escapes: control characters with
those that begin a terminal's commands, characters of no width, and those that turn the direction of writing round.
"""

from __future__ import annotations

import html
import re
from typing import Any
from xml.etree.ElementTree import Element

# Where HTML begins a tag or a character reference (whatwg.org, HTML, "Tokenization").
_OPENS = re.compile(r"<(?=[A-Za-z/!?])|&(?=[A-Za-z#])")
# What begins something in a line of Markdown (CommonMark 0.31, GitHub's tables, strikethrough and formulas). A bracket
# does so only before a target; an underscore only at the edge of a word.
_INLINE = re.compile(r"[\\`*~$|]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
# What begins something at the start of a block: headings, quotations, lists, tasks, rules.
_BLOCK = re.compile(r"#{1,6}(?=\s|$)|>|[-+](?=\s|$)|\[(?=[ xX]\])|=+$|-{2,}$|\d{1,9}(?=[.)](?:\s|$))")
# What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"), full-width forms too.
_FORMULA = re.compile("[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def terminal(text: str) -> str:
    """Text of any number of lines for a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def line(text: str) -> str:
    """Text in one line, for a terminal or wherever else nothing but the line's end could be taken for a command."""
    return terminal(" ".join(text.split()))


def markdown(text: str) -> str:
    """Text for a line, a heading or a cell of a table of Markdown, which is shown as it is.

    What can open nothing stays as it is, since tables are read in a terminal too: "<0.001", "audio>vision", "lr_head".
    A web address may become a link: it shows where it leads.
    """
    escaped = _INLINE.sub(lambda found: f"\\{found[0]}", line(text))
    return _OPENS.sub(lambda found: html.escape(found[0]), escaped)


def markdown_block(text: str) -> str:
    """The same for the start of a paragraph or of a list's item, where more is taken for a beginning."""
    text = markdown(text)
    found = _BLOCK.match(text)
    if not found:
        return text
    return f"{found[0]}\\{text[found.end() :]}" if found[0].isdecimal() else f"\\{text}"


def csv_cell(value: Any) -> Any:
    """A cell of a CSV file: text that a spreadsheet would take for a formula has an apostrophe before it.

    Numbers stay numbers, and so does text that is one.
    """
    if not isinstance(value, str):
        return value
    formula = _FORMULA.match(value.lstrip(" ")) and not _NUMBER.fullmatch(value)
    return terminal(f"'{value}" if formula else value).replace("\n", "\\n")


def json_text(text: str) -> str:
    """JSON that holds the same, in which what cannot be seen is written as JSON's escapes."""

    def escaped(char: str) -> str:
        units = char.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

    return "".join(char if char.isprintable() or char == "\n" else escaped(char) for char in text)


def values(value: Any) -> Any:
    """Plain values in lists and tables, each text of them in one line; for formats that escape what they must."""
    if isinstance(value, str):
        return line(value)
    if isinstance(value, dict):
        return {values(key): values(item) for key, item in value.items()}
    return [values(item) for item in value] if isinstance(value, list | tuple) else value


def html_tree(element: Element) -> Element:
    """An element whose texts and attributes, and those of all in it, are in one line each; returns it."""
    for each in element.iter():
        each.text, each.tail = (text and line(text) for text in (each.text, each.tail))
        for name, text in each.attrib.items():
            each.set(name, line(text))
    return element
