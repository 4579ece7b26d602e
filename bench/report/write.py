"""Write the leaderboard of a results folder."""

from __future__ import annotations

from pathlib import Path

from bench.config.reference import REFERENCE, check_reference
from bench.errors import BenchError
from bench.files import write_text
from bench.records.store import read_existing
from bench.report.grouping import labels_of
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard
from bench.report.published import published
from bench.report.standings import compute_standings


def write_leaderboard(results: Path, reported_elsewhere: bool = False, reference: str = REFERENCE) -> list[Path]:
    """Write `leaderboard.md` and `leaderboard.html` from all records of a results folder, each atomically.

    Equal records result in equal files.

    Args:
        results: Results folder.
        reported_elsewhere: Whether to show figures published by others, in a section of their own.
        reference: Label of the row that gains are relative to.

    Returns:
        The files.

    Raises:
        UsageError: No row has the label of the reference.
        BenchError: There are no records, or a file cannot be written.
    """
    records = read_existing(results)
    standings = compute_standings(records, results, reference, each_reference=True, each_split=True)
    check_reference(reference, labels_of(item.section for item in standings))
    published_rows = published() if reported_elsewhere else []
    paths = []
    try:
        forms = {
            "leaderboard.md": leaderboard(standings, published_rows, reference),
            "leaderboard.html": page(standings, published_rows, reference, results),
        }
        for name, text in forms.items():
            write_text(results / name, text)
            paths.append(results / name)
    except OSError as error:
        raise BenchError(f"the leaderboard cannot be written: {error}") from error
    return paths
