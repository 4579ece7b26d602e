"""SHA-256 of files, cached in the user's cache folder: a file is read again only if it has changed."""

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
"""Stands in for the checksum of a file that is missing or cannot be read."""

_MAX_CACHE = 256 * MEBIBYTE  # bytes of the cache of one folder: a million files
_CHUNK = 4 * MEBIBYTE
_MIN_AGE = 2.0  # seconds; a file changed more recently could change again within one tick of the file system's clock

_log = logging.getLogger(__name__)

Checksum = Callable[[Path], str]


def user_cache() -> Path:
    """Return the user's cache folder of this program, for files that can be recreated."""
    from platformdirs import user_cache_path

    return user_cache_path("crossmodal-bench")


@contextmanager
def cached_checksums(folder: Path) -> Iterator[Checksum]:
    """Yield a function that returns the SHA-256 of a file in hexadecimal, or `MISSING` if it cannot be read.

    Checksums are cached for later commands, together with the file's size, inode and times of change.

    Args:
        folder: The folder that contains the files, such as that of a release. Each folder has its own cache file.
    """
    cache_file = user_cache() / "checksums" / f"{_sha256(os.fsencode(folder.resolve()))[:24]}.json"
    private = _is_private(cache_file.parent)
    entries = _load(cache_file) if private else {}
    loaded_entries = dict(entries)
    checksums: dict[str, str] = {}  # a command looks at each file only once

    def checksum(path: Path) -> str:
        name = os.path.abspath(path)  # noqa: PTH100 - `resolve` takes ten times as long, and there may be thousands
        if name not in checksums:
            checksums[name] = current_checksum(name)
        return checksums[name]

    def current_checksum(name: str) -> str:
        try:
            status = os.stat(name)  # noqa: PTH116 - as above
            stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
            if (entry := entries.get(name)) and entry[1:] == stamp:
                return str(entry[0])
            digest = file_checksum(Path(name))
        except OSError:
            return MISSING
        if time.time() - max(status.st_mtime, status.st_ctime) > _MIN_AGE:
            entries[name] = [digest, *stamp]
        return digest

    yield checksum
    if private and entries != loaded_entries:
        try:
            write_text(cache_file, json.dumps(entries))
        except OSError as error:
            _log.debug("checksums cannot be cached in %s: %s", cache_file, error)


def combined(lines: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of (name, checksum) pairs in any order: of lines `checksum  name`, sorted by name."""
    return _sha256("\n".join(f"{digest}  {name}" for name, digest in sorted(lines)).encode(errors="surrogateescape"))


def _is_private(folder: Path) -> bool:
    """Return whether only this user can write to a folder: others could hide changes to files by editing the cache."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        return writable_by_others(folder) is None
    except OSError:
        return False


def _load(cache_file: Path) -> dict[str, list[object]]:
    try:
        content = read_json(cache_file, _MAX_CACHE)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and all(isinstance(entry, list) for entry in content.values()) else {}


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise OSError(f"{path} is not a regular file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
