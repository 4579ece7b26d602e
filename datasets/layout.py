"""What the readers share: where a release lies, and what becomes of an entry that is not as it should be."""

from __future__ import annotations

from pathlib import Path

from bench.errors import DataError


def locate(root: Path, folder: str, landmark: str) -> Path:
    """The release's own folder: `root/folder`, or `root` itself, whichever holds the file `landmark`.

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
    """Keeps what is wrong with an entry, where a list is given to keep it in.

    Raises:
        DataError: `error`, where none is.
    """
    if problems is None:
        raise error
    problems.append(error)
