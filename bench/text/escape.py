"""Escape untrusted text, such as that of records, for each place where it is shown: one function per format.

Every function first replaces unprintable characters with Python's escapes: control characters, including those that
begin terminal commands, zero-width characters, and those that change the direction of writing.
"""

from __future__ import annotations

import html
import re
from typing import Any
from xml.etree.ElementTree import Element

# Where HTML begins a tag or a character reference (whatwg.org, HTML, "Tokenization").
_OPENS = re.compile(r"<(?=[A-Za-z/!?])|&(?=[A-Za-z#])")
# Markup within a line of Markdown (CommonMark 0.31, GitHub's tables, strikethrough and formulas). A bracket counts only
# before a target; an underscore only at the edge of a word.
_INLINE = re.compile(r"[\\`*~$|]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
# Markup at the start of a block: headings, quotations, lists, tasks, rules.
_BLOCK = re.compile(r"#{1,6}(?=\s|$)|>|[-+](?=\s|$)|\[(?=[ xX]\])|=+$|-{2,}$|\d{1,9}(?=[.)](?:\s|$))")
# Characters that make a spreadsheet read a cell as a formula (OWASP, "CSV Injection"), including full-width forms.
_FORMULA = re.compile("[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def terminal(text: str) -> str:
    """Return text, of any number of lines, escaped for a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def line(text: str) -> str:
    """Return text in a single line, for a terminal or any other place where only a line break has a meaning."""
    return terminal(" ".join(text.split()))


def markdown(text: str) -> str:
    """Return text escaped for a line, a heading or a table cell of Markdown, where it appears literally.

    Characters that are not markup where they stand are left alone, since tables are read in a terminal too: "<0.001",
    "audio>vision", "lr_head". A web address may still become a link, because a reader sees where it leads.
    """
    escaped = _INLINE.sub(lambda match: f"\\{match[0]}", line(text))
    return _OPENS.sub(lambda match: html.escape(match[0]), escaped)


def markdown_block(text: str) -> str:
    """Return text escaped for the start of a paragraph or list item, where more characters are markup."""
    text = markdown(text)
    match = _BLOCK.match(text)
    if not match:
        return text
    return f"{match[0]}\\{text[match.end() :]}" if match[0].isdecimal() else f"\\{text}"


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV cell, with an apostrophe before text that a spreadsheet would run as a formula.

    Numbers, and text that is a number, are left as they are.
    """
    if not isinstance(value, str):
        return value
    formula = _FORMULA.match(value.lstrip(" ")) and not _NUMBER.fullmatch(value)
    return terminal(f"'{value}" if formula else value).replace("\n", "\\n")


def json_text(text: str) -> str:
    """Return equivalent JSON in which unprintable characters are written as JSON's escapes."""

    def escaped(char: str) -> str:
        units = char.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

    return "\n".join(
        part if part.isprintable() else "".join(char if char.isprintable() else escaped(char) for char in part)
        for part in text.split("\n")
    )


def values(value: Any) -> Any:
    """Return nested plain values with every text in a single line, for formats that do their own escaping."""
    if isinstance(value, str):
        return line(value)
    if isinstance(value, dict):
        return {values(key): values(item) for key, item in value.items()}
    return [values(item) for item in value] if isinstance(value, list | tuple) else value


def html_tree(element: Element) -> Element:
    """Put every text and attribute of an element and its descendants in a single line, in place; return the element."""
    for node in element.iter():
        node.text, node.tail = (text and line(text) for text in (node.text, node.tail))
        for name, text in node.attrib.items():
            node.set(name, line(text))
    return element
