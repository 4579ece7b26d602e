"""Parses TOML that others wrote: deeply nested keys are refused first, since parsing takes their depth squared."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEEPEST = 32  # parts of a dotted key; a suite has five: tasks.NAME.methods.NAME.SETTING

# Comments and texts, in which dots mean nothing. Each begins where it would for a parser that reads from left to right;
# what is not closed ends the parsing, so it does not matter what comes after.
# A text of several lines may end in quotes of its own: up to two before the three that close it.
_OPAQUE = re.compile(
    r'''#[^\n]*|"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''',
    re.DOTALL,
)


def parse(text: str) -> dict[str, Any]:
    """Return what a TOML text holds.

    Raises:
        ValueError: it is no TOML, or lists, tables or dotted keys lie too deep in one another.
    """
    check_depth(text)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("lists or tables lie too deep in one another") from None


def check_depth(text: str) -> None:
    """Refuse keys of more than `DEEPEST` parts. Tables and lists in one another are left to the parser.

    Raises:
        ValueError: there is one.
    """
    if text.count(".") <= DEEPEST:
        return
    plain = _OPAQUE.sub("x", text).replace(" ", "").replace("\t", "")
    if max(word.count(".") for word in re.split(r"[^\w.-]", plain)) > DEEPEST:
        raise ValueError(f"a key has more than {DEEPEST} parts")
