"""Gains, intervals and verdicts in words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from bench.report.standings import Gain, Interval

WIDTH = 118


def is_significant(gain: Gain) -> bool:
    """Return whether a gain or a loss is decided."""
    return gain.verdict in ("better", "worse")


def verdict(gain: Gain) -> str:
    """Return whether a gain is significant, in words."""
    return (
        "too few seeds"
        if gain.verdict == "too few seeds"
        else "significant"
        if is_significant(gain)
        else "not significant"
    )


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign; 0 has a plus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def interval(bounds: Interval | None, digits: int = 1) -> str:
    """Return an interval as text: "-0.4 to +4.0"; "too few seeds" without one."""
    return f"{signed(bounds.low, digits)} to {signed(bounds.high, digits)}" if bounds else "too few seeds"


def brief(gain: Gain) -> str:
    """Return a gain with its interval: "+2.3 (+1.8 to +2.8)"."""
    return f"{signed(gain.points)} ({interval(gain.interval)})"


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def wrapped(text: str) -> str:
    """Return Markdown with paragraphs and list items wrapped; headings, pictures, tables and comments stay."""
    blocks = []
    for block in text.strip().split("\n\n"):
        if block.startswith(("#", "!", "|", "<")):
            blocks.append(block)
            continue
        items = re.split(r"\n(?=- )", block)
        lines = [
            textwrap.fill(
                " ".join(item.split()),
                WIDTH,
                subsequent_indent="  " if item.startswith("- ") else "",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for item in items
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
