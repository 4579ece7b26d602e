"""Progress bars: on a terminal only, and not with --quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from bench.text import escape

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Turns all bars off, or on again, for this process."""
    global _quiet
    _quiet = quiet


def bar(iterable: Iterable[T], desc: str, total: int | None = None, unit: str = "it") -> tqdm[T]:
    """`iterable` with a bar on stderr that goes away at the end.

    Args:
        iterable: what to go through.
        desc: what is done, in a word or two.
        total: number of items, where `iterable` has no length.
        unit: what one item is called.
    """
    from tqdm import tqdm

    off = _quiet or not sys.stderr.isatty()
    return tqdm(iterable, desc=escape.line(desc), total=total, unit=unit, disable=off, leave=False, dynamic_ncols=True)
