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
    """Read every picture, text, call and spoken name, and count the things; return the folder of the media.

    Raises:
        MissingFileError: The media are not there.
    """
    try:
        folder = media.located(root)
    except UsageError as error:
        raise MissingFileError(str(error)) from error
    stamps, backgrounds = list(media.stamps(folder)), media.backgrounds(folder)
    reads: list[Callable[[], Any]] = [
        partial(read, folder, stamp) for stamp in stamps for read in (media.read_stamp, media.text_of, call_of)
    ]
    reads += [partial(media.read_background, path) for path in backgrounds]
    reads += [partial(name_of, folder, language, stamp) for language in all_languages() for stamp in stamps]
    for read in progress(reads, len(reads), "file"):
        report.attempt(read)
        report.checked += 1
    if report.faults:
        return None
    report.counts = {"all": counts_of(folder)}
    return folder
