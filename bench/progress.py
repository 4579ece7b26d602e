"""Progress bars, shown on a terminal only and not with --quiet."""

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
    """Turn all progress bars of this process off or on."""
    global _quiet
    _quiet = quiet


def bar(iterable: Iterable[T], desc: str, total: int | None = None, unit: str = "it") -> tqdm[T]:
    """Return an iterable that shows a progress bar on stderr while it is consumed, and clears it at the end.

    Args:
        iterable: The items.
        desc: What is being done, in a word or two.
        total: The number of items, if `iterable` has no length.
        unit: The name of one item.
    """
    from tqdm import tqdm

    disable = _quiet or not sys.stderr.isatty()
    text = escape.line(desc)
    return tqdm(iterable, desc=text, total=total, unit=unit, disable=disable, leave=False, dynamic_ncols=True)
