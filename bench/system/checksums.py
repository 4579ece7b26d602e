"""SHA-256 of files, remembered in the user's cache folder: a file is read again only once it has changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.files import MEBIBYTE, read_json, write_text
from bench.system.trust import writable_by_others

MISSING = "missing"
"""In place of the checksum of a file that is not there or cannot be read."""

_LARGEST = 256 * MEBIBYTE  # bytes of what is remembered of one folder: a million files
_CHUNK = 4 * MEBIBYTE
_SETTLED = 2.0  # seconds; a file changed more recently could change again within one tick of the file system's clock

_log = logging.getLogger(__name__)

Checksum = Callable[[Path], str]


def user_cache() -> Path:
    """Return the user's folder for what can be made again."""
    from platformdirs import user_cache_path

    return user_cache_path("crossmodal-bench")


@contextmanager
def remembered(folder: Path) -> Iterator[Checksum]:
    """Give a function that returns the SHA-256 of a file in hexadecimal digits, `MISSING` where it cannot be read.

    What it returns is remembered for later commands with the file's size, inode and times of change.

    Args:
        folder: what the files have in common, as the folder of a release; what is remembered is kept by its path.
    """
    place = user_cache() / "checksums" / f"{_sha256(os.fsencode(folder.resolve()))[:24]}.json"
    private = _is_private(place.parent)
    known = _load(place) if private else {}
    before = dict(known)
    asked: dict[str, str] = {}  # a command looks at a file once

    def checksum(path: Path) -> str:
        name = os.path.abspath(path)  # noqa: PTH100 - `resolve` takes ten times as long, and there may be thousands
        if name not in asked:
            asked[name] = fresh(name)
        return asked[name]

    def fresh(name: str) -> str:
        try:
            status = os.stat(name)  # noqa: PTH116 - likewise
            stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
            if (entry := known.get(name)) and entry[1:] == stamp:
                return str(entry[0])
            digest = file_checksum(Path(name))
        except OSError:
            return MISSING
        if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
            known[name] = [digest, *stamp]
        return digest

    yield checksum
    if private and known != before:
        try:
            write_text(place, json.dumps(known))
        except OSError as error:
            _log.debug("checksums cannot be kept in %s: %s", place, error)


def combined(lines: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of named checksums, whatever their order: of lines `checksum  name`, sorted by name."""
    return _sha256("\n".join(f"{digest}  {name}" for name, digest in sorted(lines)).encode(errors="surrogateescape"))


def _is_private(folder: Path) -> bool:
    """Whether what is remembered there is this user's: others could have a changed file taken for the unchanged one."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        return writable_by_others(folder) is None
    except OSError:
        return False


def _load(place: Path) -> dict[str, list[object]]:
    try:
        content = read_json(place, _LARGEST)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and all(isinstance(each, list) for each in content.values()) else {}


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError(f"{path} is no regular file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
