"""Whether another user of the machine can change a file or folder."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from functools import lru_cache
from pathlib import Path


def writable_by_others(path: Path) -> Path | None:
    """Return the part of a path that another user could change or replace; None if there is none.

    That is the file or folder itself, or a folder above it, if it belongs to neither this user nor root, or if others
    may write to it. A sticky folder above, such as /tmp, is safe: nobody can rename another user's entries in it.

    Args:
        path: A file or folder; links are followed. If it does not exist, the nearest existing folder above counts.

    Raises:
        OSError: The path's permissions cannot be read.
    """
    existing = path.resolve()
    while not existing.exists():
        existing = existing.parent
    for part in (existing, *existing.parents):
        status = part.stat()
        if status.st_uid not in (0, os.getuid()):
            return part
        sticky = part != existing and status.st_mode & stat.S_ISVTX
        if not sticky and (status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and _shared(status.st_gid))):
            return part
    return None


@lru_cache
def _shared(group: int) -> bool:
    """Return whether a group may have members besides this user and root: many systems give each user its own group."""
    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return True
    return entry.gr_name not in (user, "root") or not {*entry.gr_mem} <= {user, "root"}
