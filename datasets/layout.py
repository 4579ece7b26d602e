"""What the readers share: locating a release, checking names in annotations, and reporting invalid entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import DataError
from bench.files import MEBIBYTE

ROOT = "--data-root (with `bench data`: --root)"  # the option that names a release's folder, in messages
MAX_TABLE_BYTES = 2 * MEBIBYTE  # of a tabular annotation file; those of the releases have less than one
MAX_PROBLEMS = 10_000  # invalid entries collected per file; a file with more of them is the wrong file
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_MAX_NAME_BYTES = 200  # in UTF-8: file systems allow 255, and the readers add extensions


class MissingFileError(DataError):
    """A file of a release that is not there."""


def is_plain(name: str) -> bool:
    """Return whether a name in an annotation is a plain file name, which cannot lead out of its folder.

    Annotations come from the internet, so a name in them must not point outside the data root. A plain name contains no
    slash or backslash, no colon (a drive or an alternate stream on Windows) and no unprintable character (NUL ends a
    path, others would reach a terminal). It is not `..`, even with trailing spaces, which Windows drops, and it is not
    too long for a file system.

    Links on disk are followed: users link a release's folders to other disks, and no annotation can create a link.
    Nothing is ever written through a link; output goes to separate folders.
    """
    if not name.strip(". ") or not name.isprintable() or set(name) & {*"/\\:"}:
        return False
    return len(name.encode("utf-8")) <= _MAX_NAME_BYTES


def locate(root: Path, folder: str, landmark: str) -> Path:
    """Return the release's folder: `root/folder` or `root`, whichever contains the file `landmark`.

    Raises:
        MissingFileError: Neither contains it.
    """
    for candidate in (root / folder, root):
        if (candidate / landmark).is_file():
            return candidate
    raise MissingFileError(
        f"there is no {landmark} in {root / folder} or in {root}: pass the folder that contains {folder} as {ROOT}"
    )


def note(error: DataError, problems: list[DataError] | None) -> None:
    """Add an invalid entry's error to a list; raise it if there is no list, or if the list is full.

    Raises:
        DataError: `error`, if `problems` is None or has `MAX_PROBLEMS` items.
    """
    if problems is None or len(problems) >= MAX_PROBLEMS:
        raise error
    problems.append(error)


def unreadable(path: Path, form: str, error: Exception) -> DataError:
    """Return the error of an annotation file that cannot be read in a form, such as "JSON"."""
    if isinstance(error, FileNotFoundError):
        return MissingFileError(f"{path}: the file is missing")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DataError(f"{path}: cannot be read as {form}: {reason}")


def lacking(path: Path, columns: Sequence[str], header: Sequence[str]) -> DataError:
    """Return the error of a table whose first line, `header`, lacks columns."""
    first_line = f"has {', '.join(header)[:200]}" if any(header) else "is empty"
    separators = [name for mark, name in _SEPARATORS.items() if len(header) == 1 and mark in header[0]]
    advice = f"; columns must be separated by commas, not by {separators[0]}" if separators else ""
    return DataError(f"{path}: column {', '.join(columns)} is missing: the first line {first_line}{advice}")


def none_usable(path: Path, kind: str, errors: Sequence[DataError]) -> DataError:
    """Return the error of a file without a usable entry, which tells what is wrong with the first one.

    Args:
        path: The file.
        kind: The name of its entries, such as "questions".
        errors: The errors of its entries, which begin with the path.
    """
    if not errors:
        return DataError(f"{path}: contains no {kind}")
    first = str(errors[0]).removeprefix(str(path)).lstrip(":, ")
    return DataError(f"{path}: none of {len(errors):,} {kind} can be used; the first: {first}")
