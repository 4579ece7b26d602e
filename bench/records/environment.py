"""The environment of a run: the machine, software versions, and the checkout's commit."""

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
"""Environment variables that affect kernels or threads, and so the order in which products are summed."""

_CHECKOUT = Path(__file__).resolve().parents[2]


def environment(device: str, threads: int, precision: str | None = None) -> Environment:
    """Return the environment of this process.

    Args:
        device: Name of the device that runs train on.
        threads: Maximum number of CPU threads per operation.
        precision: Mixed precision: no, bf16 or fp16.
    """
    import torch

    # Changes in results/ do not count: otherwise the records of a command would make its later runs dirty. Untracked
    # files, such as pictures or notes, are most likely not code that ran, so they are recorded separately.
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


def environment_differences(recorded: Environment, current: Environment) -> list[str]:
    """Return the differences of two environments that affect rounding, e.g. "torch 2.12.0, here 2.13.0".

    Older records do not name the processor and its instruction set; for these, the platform is compared instead, and
    the missing processor is reported as a difference.

    Args:
        recorded: Environment of a record.
        current: Environment of this process.
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
    """Return the model name of the processor, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU"


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that results depend on, by name."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _git(*command: str) -> str | None:
    """Return git's output for the checkout of this package; None if the package is not in a checkout."""
    # An installed package may be inside another project's checkout (in a .venv), so only our own top folder counts.
    if not (_CHECKOUT / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(_CHECKOUT), *command], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
