"""Values as TOML, and a parser for untrusted TOML.

It rejects deeply nested keys first, since their parsing time is quadratic in depth.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_KEY_PARTS = 32  # of a dotted key; those of a suite have up to five: tasks.NAME.methods.NAME.SETTING

# Comments and strings, in which dots have no meaning. Each match starts where it would for a parser that reads from
# left to right; an unclosed one is a syntax error, so the rest does not matter. A multi-line string may end with up to
# two quotes of its own before the three that close it.
_OPAQUE = re.compile(
    r'''#[^\n]*|"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''',
    re.DOTALL,
)


def parse(text: str) -> dict[str, Any]:
    """Return the content of a TOML text.

    Raises:
        ValueError: It is not TOML, or lists, tables or dotted keys are nested too deeply.
    """
    check_depth(text)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("lists or tables are nested too deeply") from None


def check_depth(text: str) -> None:
    """Check that no key has more than `MAX_KEY_PARTS` parts. Nested tables and lists are left to the parser.

    Raises:
        ValueError: A key has more.
    """
    if text.count(".") <= MAX_KEY_PARTS:
        return
    plain = _OPAQUE.sub("x", text).replace(" ", "").replace("\t", "")
    if max(word.count(".") for word in re.split(r"[^\w.-]", plain)) > MAX_KEY_PARTS:
        raise ValueError(f"a key has more than {MAX_KEY_PARTS} parts")


def inline(value: Any) -> str:
    """Return a value as TOML, in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(key)} = {inline(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)
