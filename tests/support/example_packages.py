"""The packages in examples/, installed into a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def install(name: str, folder: Path) -> Path:
    """Install a package of examples/ with pip, without a network, and return the folder that contains it.

    Args:
        name: Name of the package.
        folder: An empty folder.
    """
    source, target = folder / name, folder / "installed"
    # pip builds in the source's folder, which should not be in the checkout.
    shutil.copytree(EXAMPLES / name, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *flags, "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target
