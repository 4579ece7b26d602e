"""Finds a release under the folder that a user names."""

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
