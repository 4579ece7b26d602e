"""Checks a release on disk for faults: `verify` goes through all of it and reads each file as the readers do."""

from __future__ import annotations

from pathlib import Path

from bench.datasets.base import Progress, load_dataset
from bench.datasets.layout import MissingFileError
from bench.datasets.verify.report import MISSING, UNUSABLE, Fault, Report
from bench.errors import DataError


def verify(name: str, root: Path, progress: Progress, *, quick: bool = False, published: bool = True) -> Report:
    """Check a release for faults and return a report.

    Args:
        name: The name of the release's layout.
        root: The folder that would be passed as --data-root.
        progress: Wraps the samples, for a progress bar.
        quick: Read only the headers of pictures and recordings, and decode only a few masks: the first of each video of
            AVSBench, a hundred per split of the RefCOCO family. This finds faults that all files share.
        published: Compare counts and category names with the published ones. Pass False for a part of a release, or for
            generated data.

    Raises:
        UsageError: The layout has no checks.
    """
    dataset, report = load_dataset(name), Report(name=name, root=root)
    try:
        file = dataset.check(root, report, progress, quick)
    except DataError as error:  # nothing can be checked without this file
        kind = MISSING if isinstance(error, MissingFileError) else UNUSABLE
        report.faults.append(Fault(kind, str(error)))
    else:
        if published and file and dataset.card:
            report.compare(dataset.card, file)
    return report
