"""What a run is measured on: software versions, the checkout's commit, the machine. Needs no heavy import."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.schema import Environment

_PACKAGES = (
    "crossmodal-bench",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "numpy",
    "pillow",
    "soxr",
)
_CHECKOUT = Path(__file__).resolve().parent.parent


def environment(device: str, threads: int) -> Environment:
    """The environment of this process.

    Args:
        device: name of the device that computes.
        threads: threads that one operation may use on the CPU.
    """
    # Results do not change what is measured, and the records of one command must not make its next ones dirty.
    status = _git("status", "--porcelain", "--", ".", ":(exclude)results")
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        device=device,
        threads=threads,
        versions=_versions(),
        commit=_git("rev-parse", "HEAD"),
        dirty=None if status is None else bool(status),
    )


def processor() -> str:
    """The name of the processor, as far as it is told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(*command: str) -> str | None:
    """What git prints for the checkout that this package lies in; None where it lies in none."""
    # An installed package may lie inside somebody else's checkout (a .venv): only the checkout's own top folder counts.
    if not (_CHECKOUT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_CHECKOUT), *command], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
