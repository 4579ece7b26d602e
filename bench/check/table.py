"""A check's rows as text: what failed in full, the rest by how near it came."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.check.compare import Kind, Row
from bench.report.text_table import text_table
from bench.text.markdown import bullets, table

_HEADER = ["task", "method", "what", "baseline", "found", "off by", "allowed", ""]
_ABOUT: dict[Kind, str] = {
    "exact": "what must be equal",
    "scores": "scores and losses",
    "memory": "memory",
    "speed": "speed against LoRA",
}


def verdict(rows: Sequence[Row]) -> str:
    """Return the outcome in a line."""
    failed = sum(row.failed for row in rows)
    if failed:
        return f"the check failed: {failed} of {len(rows)} comparisons are outside their margins"
    return f"the check passed: {len(rows)} comparisons, none outside its margin"


def terminal(rows: Sequence[Row], show_all: bool = False) -> str:
    """Tables for a terminal: what failed, or all rows, and a line for each kind."""
    visible = [row for row in rows if show_all or row.failed]
    parts = [text_table(_HEADER, [_cells(row) for row in visible], "l")] if visible else []
    return "\n\n".join([*parts, text_table(_KINDS, _kinds(rows), "l")])


def markdown(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the same in Markdown, for a pull request; all rows are folded away below."""
    failed = [row for row in rows if row.failed]
    sign = "\N{CROSS MARK}" if failed else "\N{WHITE HEAVY CHECK MARK}"
    parts = [f"### {sign} bench check", verdict(rows) + "."]
    if failed:
        parts.append(table(_HEADER[:-1], [_cells(row)[:-1] for row in failed], "l"))
    parts += [table(_KINDS, _kinds(rows), "l"), *([bullets(notes)] if notes else [])]
    all_rows = table(_HEADER, [_cells(row) for row in rows], "l")
    parts += [f"<details><summary>All {len(rows)} comparisons</summary>\n\n{all_rows}\n\n</details>"]
    return "\n\n".join(parts) + "\n"


_KINDS = ["kind", "comparisons", "failed", "nearest to its margin, or furthest beyond", "of the margin"]


def _kinds(rows: Sequence[Row]) -> list[list[str]]:
    """Return a line for each kind: how many, and the one that used up most of its margin."""
    lines = []
    for kind, about in _ABOUT.items():
        of_kind = [row for row in rows if row.kind == kind]
        if not of_kind:
            lines.append([about, "0", "0", "not compared", ""])
            continue
        worst = max(of_kind, key=lambda row: math.inf if math.isnan(row.margin_used) else row.margin_used)
        name = " ".join(filter(None, (worst.task, worst.method, worst.quantity))) if worst.margin_used > 0 else ""
        used = f"{100 * worst.margin_used:.0f}%" if 0 < worst.margin_used < math.inf else ""
        lines.append([about, str(len(of_kind)), str(sum(row.failed for row in of_kind)), name, used])
    return lines


def _cells(row: Row) -> list[str]:
    result = "FAILED" if row.failed else "ok"
    return [row.task, row.method, row.quantity, row.baseline, row.fresh, row.deviation, row.allowed, result]
