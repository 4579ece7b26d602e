"""Tables of a check: failed comparisons in full, and a summary of each kind of comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.check.compare import Kind, Row
from bench.report.text_table import text_table
from bench.text.markdown import bullets, table

_HEADER = ["task", "method", "quantity", "baseline", "now", "deviation", "allowed", ""]
_TITLES: dict[Kind, str] = {
    "exact": "exact equality",
    "scores": "scores and losses",
    "memory": "memory",
    "speed": "speed relative to LoRA",
}


def verdict(rows: Sequence[Row]) -> str:
    """Return the outcome in one line."""
    failed = sum(row.failed for row in rows)
    if failed:
        return f"the check failed: {failed} of {len(rows)} comparisons are outside their margins"
    return f"the check passed: {len(rows)} comparisons, none outside its margin"


def terminal(rows: Sequence[Row], show_all: bool = False) -> str:
    """Return tables for a terminal: the failed rows, or all of them, and one line per kind."""
    visible = [row for row in rows if show_all or row.failed]
    parts = [text_table(_HEADER, [_cells(row) for row in visible], "l")] if visible else []
    return "\n\n".join([*parts, text_table(_KINDS, _kinds(rows), "l")])


def markdown(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the same tables in Markdown, for a pull request, with all rows in a collapsed section.

    Args:
        rows: The comparisons.
        notes: Lines of plain text to add.
    """
    failed = [row for row in rows if row.failed]
    sign = "\N{CROSS MARK}" if failed else "\N{WHITE HEAVY CHECK MARK}"
    parts = [f"### {sign} bench check", verdict(rows) + "."]
    if failed:
        parts.append(table(_HEADER[:-1], [_cells(row)[:-1] for row in failed], "l"))
    parts += [table(_KINDS, _kinds(rows), "l"), *([bullets(notes)] if notes else [])]
    all_rows = table(_HEADER, [_cells(row) for row in rows], "l")
    parts += [f"<details><summary>All {len(rows)} comparisons</summary>\n\n{all_rows}\n\n</details>"]
    return "\n\n".join(parts) + "\n"


_KINDS = ["kind", "comparisons", "failed", "largest deviation", "of its margin"]


def _kinds(rows: Sequence[Row]) -> list[list[str]]:
    """Return one line per kind: the number of comparisons, and the one that uses most of its margin."""
    lines = []
    for kind, title in _TITLES.items():
        group = [row for row in rows if row.kind == kind]
        if not group:
            lines.append([title, "0", "0", "not compared", ""])
            continue
        worst = max(group, key=lambda row: math.inf if math.isnan(row.margin_used) else row.margin_used)
        name = " ".join(filter(None, (worst.task, worst.method, worst.quantity))) if worst.margin_used > 0 else ""
        used = f"{100 * worst.margin_used:.0f}%" if 0 < worst.margin_used < math.inf else ""
        lines.append([title, str(len(group)), str(sum(row.failed for row in group)), name, used])
    return lines


def _cells(row: Row) -> list[str]:
    result = "FAILED" if row.failed else "ok"
    return [row.task, row.method, row.quantity, row.baseline, row.fresh, row.deviation, row.allowed, result]
