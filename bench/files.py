"""Safe reading of untrusted files, and atomic writing of files and folders.

A file is read only if it is a regular file of at most the size that is sensible for its kind. Files and folders are
written under a temporary name, unique across machines, and renamed once they are complete. Temporary names tell the
next writer which leftovers of killed processes it can remove.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

KIBIBYTE, MEBIBYTE = 2**10, 2**20
Guard = Callable[[], AbstractContextManager[object]]

_SCRATCH = re.compile(r"\.([0-9a-f]{12})-[0-9a-f]{32}\.tmp")
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_ABANDONED = 24 * 3600.0  # seconds after which another machine's unfinished file counts as a leftover


def check_file(path: Path, max_bytes: int) -> int:
    """Check that a file is regular and not too large. Links are followed: see `bench.datasets.layout.is_plain`.

    Args:
        path: The file.
        max_bytes: The largest allowed size.

    Returns:
        The file's size in bytes.

    Raises:
        OSError: There is no such file.
        ValueError: It is too large, or is not a regular file: reading a pipe would block, and a device never ends.
    """
    return _check_status(path.stat(), max_bytes)


def _check_status(status: os.stat_result, max_bytes: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > max_bytes:
        raise ValueError(f"it has {status.st_size:,} bytes, more than the {max_bytes:,} allowed")
    return status.st_size


def read_bytes(path: Path | str, max_bytes: int) -> bytes:
    """Return all bytes of a file; arguments and errors are those of `check_file`."""
    # Non-blocking: opening a pipe would otherwise wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = _check_status(os.fstat(descriptor), max_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)


def name_aside(path: Path) -> Path:
    """Return a free name to move a file to when another is to take its place: `NAME~1.json`, or the next number."""
    names = (path.with_name(f"{path.stem}~{number}{path.suffix}") for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def read_text(path: Path, max_bytes: int) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark; line ends are unchanged.

    Arguments and errors are those of `check_file`; another encoding is a ValueError too, which says what to do.
    """
    return _text(read_bytes(path, max_bytes))


def read_json(path: Path, max_bytes: int) -> Any:
    """Return the content of a JSON file as plain values.

    Arguments and errors are those of `check_file`; invalid or too deeply nested JSON is a ValueError too.
    """
    content = read_bytes(path, max_bytes)
    try:
        return json.loads(content)  # which may be in UTF-16 or UTF-32 too
    except UnicodeDecodeError:
        return json.loads(_text(content))
    except RecursionError:
        raise ValueError("lists and tables are nested too deeply") from None


def _text(content: bytes) -> str:
    """Return the text in the bytes of a UTF-8 file.

    Raises:
        ValueError: They are in another encoding.
    """
    if content.startswith(_OTHER_MARKS) or b"\0" in content[:2]:
        raise ValueError("it is in UTF-16 or UTF-32: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ValueError(f"line {line} has the byte 0x{byte:02x}, which is not UTF-8: save the file as UTF-8") from None


@contextmanager
def atomic_file(path: Path, guard: Guard = nullcontext) -> Iterator[BinaryIO]:
    """Write a file atomically: readers see either its earlier content or all of the new one.

    A missing folder is created. If the block or the disk fails, nothing is left behind.

    Args:
        path: The file. A symbolic link is replaced, not followed; a device or a pipe is left alone.
        guard: A context manager entered around the final rename, once everything is on disk; an exception that it
            raises cancels the write.

    Yields:
        The file, open in binary mode for writing and reading.

    Raises:
        OSError: The file cannot be written.
    """
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, "exists and is not a regular file", str(path))
    with _scratch(path.parent, _create_file) as (scratch, descriptor):
        with open(descriptor, "w+b", closefd=False) as file:
            yield file
        os.fsync(descriptor)
        with guard():
            scratch.replace(path)
        _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False, guard: Guard = nullcontext) -> Iterator[Path]:
    """Write a folder atomically; its files get the permissions of the umask.

    A missing parent folder is created. If the block or the disk fails, nothing is left behind.

    Args:
        path: The folder.
        replace: Whether to replace an existing folder. If False and another process has created the folder in the
            meantime, that one stays and what was written is discarded.
        guard: As for `atomic_file`.

    Yields:
        An empty folder next to it, which is renamed in the end.

    Raises:
        OSError: The folder cannot be written.
    """
    with _scratch(path.parent, _create_folder) as (scratch, _):
        yield scratch
        _sync_all(scratch)
        with guard():
            _rename_folder(scratch, path, replace)
        _sync_folder(path.parent)


def write_text(path: Path, text: str, guard: Guard = nullcontext) -> None:
    """Write a text file in UTF-8 atomically: see `atomic_file`."""
    with atomic_file(path, guard) as file:
        file.write(text.encode(errors="backslashreplace"))  # file names may contain bytes that are not UTF-8


def create_text(path: Path, text: str) -> None:
    """Create a text file atomically: of several processes that try, exactly one succeeds.

    Raises:
        FileExistsError: The file exists.
        OSError: The file cannot be written.
    """
    with _scratch(path.parent, _create_file) as (scratch, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        os.fsync(descriptor)
        try:
            os.link(scratch, path, follow_symlinks=False)
        except FileExistsError:
            if os.fstat(descriptor).st_nlink < 2:  # over a network the link may have succeeded and the reply been lost
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _create_directly(path, text)


def _create_directly(path: Path, text: str) -> None:
    """Do as `create_text` without hard links: other processes may see the file before it is complete."""
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def remove_leftovers(folder: Path) -> None:
    """Check that a folder is writable, and remove unfinished files that killed processes left there.

    Every write by `atomic_file` or `atomic_folder` does the same.

    Raises:
        OSError: The folder is not writable.
    """
    with _scratch(folder, _create_file):
        pass


def use_default_permissions(path: Path) -> None:
    """Give a file the permissions of the umask, since some libraries create files that only the owner can read."""
    with _scratch(path.parent, _create_file) as (_, descriptor):
        path.chmod(stat.S_IMODE(os.fstat(descriptor).st_mode))


@contextmanager
def _scratch(folder: Path, create: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """Yield a new, uniquely named file or folder and a descriptor that locks it; remove it in the end.

    The kernel releases the lock however the process ends, so a scratch file without a lock is a leftover.
    """
    scratch, descriptor = _locked(folder, create)
    try:
        _remove_abandoned(folder, now=os.fstat(descriptor).st_mtime)
        yield scratch, descriptor
    finally:
        os.close(descriptor)
        _remove(scratch)


def _locked(folder: Path, create: Callable[[Path], int]) -> tuple[Path, int]:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = scratch_name(folder)
        try:
            descriptor = create(scratch)
        except FileNotFoundError:  # removed as a leftover before it was opened, or the folder was removed
            continue
        lock(descriptor, exclusive=True, wait=True)
        with suppress(OSError):
            if scratch.stat().st_ino == os.fstat(descriptor).st_ino:
                return scratch, descriptor
        os.close(descriptor)  # removed as a leftover before it was locked


def scratch_name(folder: Path) -> Path:
    """Return a path in a folder with a name that is unique across machines and that `remove_leftovers` recognizes."""
    return folder / f".{_machine()}-{uuid.uuid4().hex}.tmp"


def _create_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _create_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def lock(descriptor: int, *, exclusive: bool, wait: bool) -> bool | None:
    """Lock an open file until it is closed, at the latest when the process ends.

    Args:
        descriptor: The open file's descriptor.
        exclusive: Whether to exclude all other locks, or only exclusive ones.
        wait: Whether to wait until the lock can be had.

    Returns:
        Whether the file is locked; None if the file system does not support locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(folder: Path, now: float) -> None:
    """Remove scratch files that no process is writing any more; `now` is the time by the file system's clock.

    All processes of this machine see one another's locks, even across containers. Other machines may not, so their
    scratch files are kept for a day.
    """
    with os.scandir(folder) as entries:
        scratches = [(Path(entry.path), match[1]) for entry in entries if (match := _SCRATCH.fullmatch(entry.name))]
    for scratch, machine in scratches:
        with suppress(OSError):  # another process is removing it too, or it belongs to another user
            descriptor = os.open(scratch, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                locked = lock(descriptor, exclusive=False, wait=False)
                old = now - os.fstat(descriptor).st_mtime > _ABANDONED
                if locked is not False and (old or (locked and machine == _machine())):
                    _remove(scratch)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def _rename_folder(scratch: Path, path: Path, replace: bool) -> None:
    earlier = scratch_name(path.parent)  # if this process is killed in between, the next one removes it
    if replace and path.exists():
        path.rename(earlier)
    try:
        scratch.rename(path)
    except OSError:
        if not path.is_dir():
            with suppress(OSError):
                earlier.rename(path)
            raise
    _remove(earlier)


def _sync_all(folder: Path) -> None:
    """Flush a folder and its files to disk, and give the files the umask's permissions, taken from the folder's own."""
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for root, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _sync_folder(Path(root))


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, if the file system supports it."""
    with suppress(OSError):  # some do not, and the files themselves are safe
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@cache
def _machine() -> str:
    """Return 12 hex digits that identify this machine since its last boot; its containers share them."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        name = socket.gethostname()
    return hashlib.sha256(name.encode()).hexdigest()[:12]
