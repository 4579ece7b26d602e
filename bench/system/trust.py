"""Whether what lies in a folder can have been put there by another user of the machine."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from functools import lru_cache
from pathlib import Path


def writable_by_others(path: Path) -> Path | None:
    """Return which part of a path another user could change, so that something else would be found there.

    That is the file or folder itself, or a folder above it, if it belongs to another user than this one and root, or
    others may write to it. Folders above may be sticky, as /tmp is: there nobody can rename what is another's.

    Args:
        path: a file or folder; links are followed. Of one that is not there, the nearest folder above counts.

    Raises:
        OSError: it cannot be looked at.
    """
    place = path.resolve()
    while not place.exists():
        place = place.parent
    for part in (place, *place.parents):
        status = part.stat()
        if status.st_uid not in (0, os.getuid()):
            return part
        sticky = part != place and status.st_mode & stat.S_ISVTX
        if not sticky and (status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and _shared(status.st_gid))):
            return part
    return None


@lru_cache
def _shared(group: int) -> bool:
    """Whether a group can have other members than this user and root; on many systems each user has one of its own."""
    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return True
    return entry.gr_name not in (user, "root") or not {*entry.gr_mem} <= {user, "root"}
