"""Looks for what is wrong with a release on disk: `verify` walks all of it, reading each file as the readers do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.datasets.releases import RELEASES
from bench.datasets.verify.media import Progress
from bench.datasets.verify.report import MISSING, Fault, Report
from bench.errors import DataError


def verify(name: str, root: Path, progress: Progress, *, quick: bool = False, published: bool = True) -> Report:
    """Look for what is wrong with a release.

    Args:
        name: a key of `RELEASES`.
        root: the folder that would be named as --data-root.
        progress: wraps the samples that are gone through, given what they are called.
        quick: read headers of pictures and recordings only, and decode few masks: of each video of AVSBench the first,
            of each split of the RefCOCO family a hundred. That shows what is the same in all.
        published: compare counts and names of categories with the published ones; not so for a part of a release, or
            generated data.
    """
    report = Report(name=name, root=root)
    try:
        file = _walk(name)(root, report, progress, quick)
    except DataError as error:  # without this file there is nothing to go on with
        report.found.append(Fault(MISSING, str(error)))
    else:
        if published and file:
            report.compare(RELEASES[name], file)
    return report


def _walk(name: str) -> Callable[[Path, Report, Progress, bool], Path | None]:
    """What walks a release, and returns the file that its samples are counted in, None if nothing can be counted."""
    if name == "ave":
        from bench.datasets.verify.ave import walk

        return walk
    if name.startswith("avs"):
        from bench.datasets.verify import avsbench

        return avsbench.walk_s4 if name == "avs" else avsbench.walk_ms3
    from bench.datasets.verify.refcoco import walker

    return walker(name)
