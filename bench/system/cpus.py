"""The number of CPUs this process may use, by affinity, cgroup limits and its share. Imports nothing heavy."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc/self")
_ROOT = Path("/")

_share: int | None = None

MAX_JOBS = 1024
"""The most parallel processes a command may ask for: more than any machine has memory for."""


def available_cpus(proc: Path = _PROC, root: Path = _ROOT) -> int:
    """Return the number of CPUs this process may use, at least 1.

    That is the number of CPUs it may be scheduled on, but at most the CPU time its cgroups grant, rounded up, and at
    most its share if it works in parallel with others (see `limit_to`).

    Args:
        proc: The process's folder in /proc.
        root: The folder below which cgroups are mounted.
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
    """Limit this process, and whatever it starts from now on, to a number of CPUs: other processes need the rest."""
    global _share
    _share = max(1, cpus)


def cgroup_limit(proc: Path = _PROC, root: Path = _ROOT) -> float | None:
    """Return the CPU time that a process's cgroups grant it, in CPUs, such as 1.5; None if it is unlimited.

    A limit applies to every cgroup below it, so the smallest limit from the process's cgroup up to the root counts.

    Args:
        proc: The process's folder in /proc.
        root: The folder below which cgroups are mounted.
    """
    try:
        limits = [limit for folder in _cgroups(proc, root) if (limit := _limit(folder)) is not None]
    except ValueError:  # a /proc in a format other than Linux's
        return None
    return min(limits, default=None)


def _cgroups(proc: Path, root: Path) -> Iterator[Path]:
    """Yield the folders of the process's cgroup and its ancestors, in each hierarchy that limits CPU time (v1, v2)."""
    paths: dict[str, str] = {}  # by controller; "" is the single hierarchy of v2
    for line in _lines(proc / "cgroup"):  # such as 4:cpu,cpuacct:/docker/0f3a, or 0::/user.slice
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    for line in _lines(proc / "mountinfo"):
        # 33 24 0:28 /docker/0f3a /sys/fs/cgroup/cpu ro,nosuid master:11 - cgroup cgroup rw,cpu,cpuacct
        mount_fields, _, filesystem_fields = line.partition(" - ")
        mounted_path, mount_point = mount_fields.split()[3:5]
        kind, _, options = filesystem_fields.split(" ", 2)
        if kind == "cgroup" and "cpu" not in options.split(","):
            continue
        cgroup_path = {"cgroup2": paths.get(""), "cgroup": paths.get("cpu")}.get(kind)
        if cgroup_path is None:
            continue
        relative = PurePosixPath(os.path.relpath(cgroup_path, mounted_path))  # a container may see only a subtree
        if ".." in relative.parts:
            relative = PurePosixPath()
        for folder in (relative, *relative.parents):
            yield root / mount_point.lstrip("/") / folder


def _limit(cgroup: Path) -> float | None:
    """Return the limit of one cgroup, in CPUs."""
    try:
        if (cgroup / "cpu.max").exists():  # v2: "150000 100000", or "max 100000"
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:  # v1: -1 means no limit
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
