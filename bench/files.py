"""Reads files that others wrote: not before it is known that they are files, and no larger than such a file may be.

Writes files and folders whole or not at all. Until they are whole they have names that no other process uses, on any
machine, and that tell the next writer which of them killed processes have left.
"""

from __future__ import annotations

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
_ABANDONED = 24 * 3600.0  # seconds after which what another machine was writing counts as left over


def check_file(path: Path, most: int) -> int:
    """Makes sure that a file can be read in whole. Links are followed: see `bench.datasets.layout.is_plain`.

    Args:
        path: the file.
        most: bytes that it may have.

    Returns:
        Bytes that it has.

    Raises:
        OSError: there is no such file.
        ValueError: it is larger, or is no regular file: a pipe would be waited for, and a device never ends.
    """
    return _check_status(path.stat(), most)


def _check_status(status: os.stat_result, most: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, more than the {most:,} that such a file may have")
    return status.st_size


def read_bytes(path: Path | str, most: int) -> bytes:
    """All bytes of a file; arguments and errors are those of `check_file`."""
    # Without waiting: a pipe would be waited for until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = _check_status(os.fstat(descriptor), most)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)


def name_aside(path: Path) -> Path:
    """What a file is renamed to so that another may have its name: `NAME~1.json`, or the next number that is free."""
    names = (path.with_name(f"{path.stem}~{number}{path.suffix}") for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def read_text(path: Path, most: int) -> str:
    """A text file in UTF-8, with or without a byte order mark; line ends are left as they are.

    Arguments and errors are those of `check_file`; text in another encoding is a ValueError too.
    """
    return read_bytes(path, most).decode("utf-8-sig")


def read_json(path: Path, most: int) -> Any:
    """What a JSON file holds, as plain values.

    Arguments and errors are those of `check_file`; what is no JSON, or goes too deep, is a ValueError too.
    """
    content = read_bytes(path, most)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("lists and tables lie too deep in one another") from None


@contextmanager
def atomic_file(path: Path, guard: Guard = nullcontext) -> Iterator[BinaryIO]:
    """Write a file whole or not at all: readers see what was there before, or all that is written within.

    The folder is made if it is missing. An error within, or of the disk, leaves nothing behind.

    Args:
        path: the file. A symbolic link in its place is replaced, not followed; a device or a pipe is left alone.
        guard: entered once everything is on the disk, while the file appears; what it raises ends the writing.

    Yields:
        The file, open in binary mode for writing and reading.

    Raises:
        OSError: it cannot be written.
    """
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, "there is something else than a regular file", str(path))
    with _scratch(path.parent, _create_file) as (scratch, descriptor):
        with open(descriptor, "w+b", closefd=False) as file:
            yield file
        os.fsync(descriptor)
        with guard():
            scratch.replace(path)
        _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False, guard: Guard = nullcontext) -> Iterator[Path]:
    """Write a folder whole or not at all; its files get the permissions that the umask gives.

    The parent folder is made if it is missing. An error within, or of the disk, leaves nothing behind.

    Args:
        path: the folder.
        replace: whether it takes the place of an earlier folder. Otherwise one that another process has put there
            meanwhile stays, and what was written is dropped.
        guard: as for `atomic_file`.

    Yields:
        An empty folder beside it, which gets its name in the end.

    Raises:
        OSError: it cannot be written.
    """
    with _scratch(path.parent, _create_folder) as (scratch, _):
        yield scratch
        _sync_all(scratch)
        with guard():
            _rename_folder(scratch, path, replace)
        _sync_folder(path.parent)


def write_text(path: Path, text: str, guard: Guard = nullcontext) -> None:
    """Write a text file in UTF-8, whole or not at all: see `atomic_file`."""
    with atomic_file(path, guard) as file:
        file.write(text.encode(errors="backslashreplace"))  # names of files may hold bytes that are no UTF-8


def create_text(path: Path, text: str) -> None:
    """Write a text file that is not there yet, whole or not at all: of several that try, one succeeds.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    with _scratch(path.parent, _create_file) as (scratch, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        os.fsync(descriptor)
        try:
            os.link(scratch, path, follow_symlinks=False)
        except FileExistsError:
            if os.fstat(descriptor).st_nlink < 2:  # over a network it may have been linked, and the answer been lost
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _create_directly(path, text)


def _create_directly(path: Path, text: str) -> None:
    """Do as `create_text` where there are no hard links: others may see the file before it is whole."""
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def remove_leftovers(folder: Path) -> None:
    """Make sure that a folder can be written to, and remove what killed processes left there half written.

    Whatever writes to the folder by `atomic_file` or `atomic_folder` does the same.

    Raises:
        OSError: it cannot be written to.
    """
    with _scratch(folder, _create_file):
        pass


def use_default_permissions(path: Path) -> None:
    """Give a file the permissions that new files get by the umask: some libraries make theirs for the owner only."""
    with _scratch(path.parent, _create_file) as (_, descriptor):
        path.chmod(stat.S_IMODE(os.fstat(descriptor).st_mode))


@contextmanager
def _scratch(folder: Path, create: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """A new file or folder with a name of its own, and a descriptor that holds a lock on it; in the end it is removed.

    The kernel frees the lock however the process ends, so whatever is not locked is left over.
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
        except FileNotFoundError:  # taken for a leftover before it was opened, or another has removed the folder
            continue
        lock(descriptor, exclusive=True, wait=True)
        with suppress(OSError):
            if scratch.stat().st_ino == os.fstat(descriptor).st_ino:
                return scratch, descriptor
        os.close(descriptor)  # taken for a leftover before it was locked


def scratch_name(folder: Path) -> Path:
    """Return a name in a folder that nobody else uses, on any machine, and that `remove_leftovers` knows."""
    return folder / f".{_machine()}-{uuid.uuid4().hex}.tmp"


def _create_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _create_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def lock(descriptor: int, *, exclusive: bool, wait: bool) -> bool | None:
    """Lock an open file until it is closed, at the latest when the process ends.

    Args:
        descriptor: of the file.
        exclusive: whether no other may hold a lock on it, or only no exclusive one.
        wait: whether to wait until that is so.

    Returns:
        Whether it is locked; None where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(folder: Path, now: float) -> None:
    """Remove what no process writes any more; `now` is the time by the clock of the file system.

    Locks are seen by all processes of this machine, whatever container they are in; not always by other machines, so
    what these have begun is left for a day.
    """
    with os.scandir(folder) as entries:
        found = [(Path(entry.path), match[1]) for entry in entries if (match := _SCRATCH.fullmatch(entry.name))]
    for scratch, machine in found:
        with suppress(OSError):  # another process removes it too, or it is another user's
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
    earlier = scratch_name(path.parent)  # a process that is killed in between leaves it to the next
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
    """Have the disk hold all that a folder has, and give its files the permissions of the umask, which made it."""
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
    """Have the disk hold the names in a folder, where the file system can be asked to."""
    with suppress(OSError):  # not every one can, and what was written is there
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@cache
def _machine() -> str:
    """Return 12 hex digits that tell this machine, since it was started, from others; containers share them."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        name = socket.gethostname()
    return hashlib.sha256(name.encode()).hexdigest()[:12]
