"""What the readers share: where a release lies, which names may lead to files, and what becomes of a wrong entry."""

from __future__ import annotations

from pathlib import Path

from bench.errors import DataError
from bench.files import MEBIBYTE

MAX_TABLE_BYTES = 2 * MEBIBYTE  # bytes of an annotation file that is a table; the releases' have less than one
MAX_PROBLEMS = 10_000  # wrong entries of a file that are kept; of a file with more, something else is wrong
_MAX_NAME_BYTES = 200  # bytes of a name, in UTF-8: file systems take 255, and the readers add endings


def is_plain(name: str) -> bool:
    """Whether a name in an annotation can only be that of a file or folder in the very folder where it is looked for.

    Annotations come from the internet, and a name in them must not lead out of the data root. So it has no slash of
    either kind, no colon (a drive, or a stream of a file, on Windows), nothing that cannot be printed (NUL ends a path,
    the rest would reach a terminal), is no `..`, also none with spaces behind it, which Windows drops, and is not too
    long for a file system.

    Links on the disk are followed wherever they lead: who lays out a release links its folders to other disks, and no
    annotation can make a link. Nothing is ever written through one: what is made goes to a folder of its own.
    """
    if not name.strip(". ") or not name.isprintable() or set(name) & {*"/\\:"}:
        return False
    return len(name.encode("utf-8")) <= _MAX_NAME_BYTES


def locate(root: Path, folder: str, landmark: str) -> Path:
    """Return the release's own folder: `root/folder`, or `root` itself, whichever holds the file `landmark`.

    Raises:
        DataError: neither does.
    """
    for place in (root / folder, root):
        if (place / landmark).is_file():
            return place
    raise DataError(
        f"no {landmark} in {root / folder} nor in {root}: name the folder that holds {folder} as --data-root"
    )


def note(error: DataError, problems: list[DataError] | None) -> None:
    """Keep what is wrong with an entry, where a list is given to keep it in.

    Raises:
        DataError: `error`, where none is, or more are in it than anybody would read.
    """
    if problems is None or len(problems) >= MAX_PROBLEMS:
        raise error
    problems.append(error)
