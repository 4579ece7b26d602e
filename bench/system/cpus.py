"""How many CPUs this process may use: by its affinity, its cgroups' limits and its share. Needs no heavy import."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc/self")
_ROOT = Path("/")

_share: int | None = None

MOST_JOBS = 1024
"""Processes side by side that a command may ask for: more than a machine has memory for."""


def available_cpus(proc: Path = _PROC, root: Path = _ROOT) -> int:
    """CPUs that this process may use, at least one.

    These are the CPUs that it may run on, but no more than its cgroups grant time for, rounded up, and no more than
    its share where it does runs beside others (see `limit_to`).

    Args:
        proc: the process's folder in /proc.
        root: the folder below which cgroups are mounted.
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call
        cpus = os.cpu_count() or 1
    granted = cgroup_limit(proc, root)
    if granted is not None:
        cpus = min(cpus, math.ceil(granted))
    if _share is not None:
        cpus = min(cpus, _share)
    return max(1, cpus)


def limit_to(cpus: int) -> None:
    """Leaves this process so many CPUs: what it starts from now on uses no more, since others need the rest."""
    global _share
    _share = max(1, cpus)


def cgroup_limit(proc: Path = _PROC, root: Path = _ROOT) -> float | None:
    """The CPUs that the cgroups of a process grant it time for, as in 1.5; None where they grant it any.

    A limit holds for all below it, so the least of those from the process's own cgroup up to the top counts.

    Args:
        proc: the process's folder in /proc.
        root: the folder below which cgroups are mounted.
    """
    try:
        limits = [limit for folder in _cgroups(proc, root) if (limit := _limit(folder)) is not None]
    except ValueError:  # a /proc that is not quite Linux's
        return None
    return min(limits, default=None)


def _cgroups(proc: Path, root: Path) -> Iterator[Path]:
    """Folders of the process's cgroup and of those around it, in each hierarchy that limits CPU time (v1 and v2)."""
    paths: dict[str, str] = {}  # by controller; "" is the one hierarchy of v2
    for line in _lines(proc / "cgroup"):  # such as 4:cpu,cpuacct:/docker/0f3a, or 0::/user.slice
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    for line in _lines(proc / "mountinfo"):
        # 33 24 0:28 /docker/0f3a /sys/fs/cgroup/cpu ro,nosuid master:11 - cgroup cgroup rw,cpu,cpuacct
        fields, _, rest = line.partition(" - ")
        top, mounted_at = fields.split()[3:5]
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup" and "cpu" not in options.split(","):
            continue
        own = {"cgroup2": paths.get(""), "cgroup": paths.get("cpu")}.get(kind)
        if own is None:
            continue
        inside = PurePosixPath(os.path.relpath(own, top))  # a container may see only a part of the hierarchy
        if ".." in inside.parts:
            inside = PurePosixPath()
        for folder in (inside, *inside.parents):
            yield root / mounted_at.lstrip("/") / folder


def _limit(cgroup: Path) -> float | None:
    """The limit of one cgroup, in CPUs."""
    try:
        if (cgroup / "cpu.max").exists():  # v2: "150000 100000", or "max 100000"
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:  # v1, -1 for no limit
            quota, period = (
                (cgroup / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip() for name in ("quota", "period")
            )
        return int(quota) / int(period) if quota != "max" and int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return []
