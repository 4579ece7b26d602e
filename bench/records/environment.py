"""What a run is measured on: software versions, the checkout's commit, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.records.schema import Environment

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
VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    "CUBLAS_WORKSPACE_CONFIG",
)
"""Environment variables that choose kernels or threads, and so the order in which products are summed."""

_CHECKOUT = Path(__file__).resolve().parents[2]


def environment(device: str, threads: int, precision: str | None = None) -> Environment:
    """Return the environment of this process, in which torch is loaded.

    Args:
        device: name of the device that computes.
        threads: threads that one operation may use on the CPU.
        precision: mixed precision that is used: no, bf16 or fp16.
    """
    import torch

    # Results do not change what is measured, and the records of one command must not make its next ones dirty. A file
    # that git does not track, such as a picture or a note, is most likely no code that ran: that is said apart.
    status = _git("status", "--porcelain", "--", ".", ":(exclude)results")
    changes = None if status is None else status.splitlines()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        device=device,
        threads=threads,
        versions=package_versions(),
        commit=_git("rev-parse", "HEAD"),
        dirty=None if changes is None else any(not line.startswith("??") for line in changes),
        processor=processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        precision=precision,
        untracked=None if changes is None else any(line.startswith("??") for line in changes),
    )


def other_machine(recorded: Environment, current: Environment) -> list[str]:
    """Return what of a recorded environment rounds sums otherwise than here, as in "torch 2.12.0, here 2.13.0".

    Older records do not name their processor and instruction set, so that an equal machine cannot be told by them: the
    platform counts in their place.
    """
    pairs = [(name, getattr(recorded, name), getattr(current, name)) for name in ("device", "threads", "platform")]
    if recorded.processor and current.processor:
        pairs = [*pairs[:2], ("processor", recorded.processor, current.processor)]
        pairs += [("instructions", recorded.instructions, current.instructions)]
        names = sorted({*(recorded.variables or {}), *(current.variables or {})})
        pairs += [
            (n, (recorded.variables or {}).get(n, "unset"), (current.variables or {}).get(n, "unset")) for n in names
        ]
    else:
        pairs.append(("processor", recorded.processor or "not recorded", current.processor or "unknown"))
    names = sorted({*recorded.versions, *current.versions} - {"crossmodal-bench"})
    pairs += [(name, recorded.versions.get(name, "none"), current.versions.get(name, "none")) for name in names]
    return [f"{name} {old}, here {new}" for name, old, new in pairs if old != new]


def processor() -> str:
    """Return the name of the processor, as far as it is told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU"


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that what is measured depends on."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _git(*command: str) -> str | None:
    """Return what git prints for the checkout that this package lies in; None where it lies in none."""
    # An installed package may lie inside somebody else's checkout (a .venv): only the checkout's own top folder counts.
    if not (_CHECKOUT / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(_CHECKOUT), *command], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
