"""Checks a release on disk for faults: `verify` goes through all of it and reads each file as the readers do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.datasets.releases import RELEASES
from bench.datasets.verify.media import Progress
from bench.datasets.verify.report import MISSING, Fault, Report
from bench.errors import DataError


def verify(name: str, root: Path, progress: Progress, *, quick: bool = False, published: bool = True) -> Report:
    """Check a release for faults and return a report.

    Args:
        name: A key of `RELEASES`.
        root: The folder that would be passed as --data-root.
        progress: Wraps the samples, for a progress bar.
        quick: Read only the headers of pictures and recordings, and decode only a few masks: the first of each video of
            AVSBench, a hundred per split of the RefCOCO family. This finds faults that all files share.
        published: Compare counts and category names with the published ones. Pass False for a part of a release, or for
            generated data.
    """
    report = Report(name=name, root=root)
    try:
        file = _walk(name)(root, report, progress, quick)
    except DataError as error:  # nothing can be checked without this file
        report.faults.append(Fault(MISSING, str(error)))
    else:
        if published and file:
            report.compare(RELEASES[name], file)
    return report


def _walk(name: str) -> Callable[[Path, Report, Progress, bool], Path | None]:
    """Return the function that checks a release and returns the file with its counts, None if nothing was counted."""
    if name == "ave":
        from bench.datasets.verify.ave import walk

        return walk
    if name.startswith("avs"):
        from bench.datasets.verify import avsbench

        return avsbench.walk_s4 if name == "avs" else avsbench.walk_ms3
    from bench.datasets.verify.refcoco import walker

    return walker(name)
