"""Checks the media that natural data is composed from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.datasets.base import Progress
from bench.datasets.layout import MissingFileError
from bench.datasets.natural import media
from bench.datasets.natural.things import all_languages, call_of, counts_of, name_of
from bench.datasets.verify.report import Report
from bench.errors import UsageError


def walk(root: Path, report: Report, progress: Progress) -> Path | None:
    """Read every picture, text, setting, call and spoken name, and count the things.

    Args:
        root: Where the media are.
        report: Receives the counts and the faults. What has a broken file is not counted, which a remark says.
        progress: Wraps the files, for a progress bar.

    Returns:
        The folder of the media; None if there are faults, so that counts differ from the published ones anyway.

    Raises:
        MissingFileError: The media are not there.
    """
    try:
        folder = media.located(root)
    except UsageError as error:
        raise MissingFileError(str(error)) from error
    stamps, backgrounds = list(media.stamps(folder)), media.backgrounds(folder)
    readers: list[Callable[[Path, str], Any]] = [media.read_stamp, media.text_of, media.may_be_mirrored, call_of]
    reads: list[tuple[str, Callable[[], Any]]] = [
        (stamp, partial(read, folder, stamp)) for stamp in stamps for read in readers
    ]
    reads += [(path.name, partial(media.read_background, path)) for path in backgrounds]
    reads += [(stamp, partial(name_of, folder, language, stamp)) for language in all_languages() for stamp in stamps]
    broken: set[str] = set()
    for name, read in progress(reads, len(reads), "file"):
        if report.attempt(read) is None:
            broken.add(name)
        report.checked += 1
    report.counts = {"all": counts_of(folder, broken)}
    if not broken:
        return folder
    report.remarks.append(f"not counted, since a file is broken: {len(broken):,} stamps and backgrounds")
    return None
