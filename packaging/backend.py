"""Build backend: setuptools, and files that it would not add to a wheel.

The wheel contains the tuned settings and the baseline of `results/`, which exist only there. Were `results/` declared
as a package folder, its scripts would be in the wheel too.

An editable installation gets a stand-in for the package. setuptools finds the packages of an editable installation only
after all folders of sys.path, so a folder `bench` in one of them (of results, for example) would be imported instead.
The stand-in is where a regular installation has the package, and loads it from the checkout.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - all other hooks are those of setuptools

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bench"
SHIPPED = ("*/tuned*.toml", "*/baseline.json")
"""Files of `results/` that the wheel contains in `bench/results/`."""
STAND_IN = f'''\
"""A stand-in for the package in a checkout: see its packaging/backend.py."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

_spec = spec_from_file_location(__name__, {str(PACKAGE / "__init__.py")!r})
sys.modules[__name__] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[__name__])
'''


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of a regular installation in a folder, and return its name."""
    name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    paths = [path for pattern in SHIPPED for path in sorted((ROOT / "results").glob(pattern))]
    shipped = {f"{PACKAGE.name}/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in paths}
    _add(Path(wheel_directory, name), shipped)
    return name


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of an editable installation in a folder, and return its name."""
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    _add(Path(wheel_directory, name), {f"{PACKAGE.name}/__init__.py": STAND_IN.encode()})
    return name


def _add(path: Path, added: dict[str, bytes]) -> None:
    """Add files to a wheel, and to its RECORD."""
    with ZipFile(path) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    for name, content in added.items():
        checksum = urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
        files[record] = f"{name},sha256={checksum},{len(content)}\n".encode() + files[record]
    with ZipFile(path, "w", ZIP_DEFLATED) as wheel:
        for name, content in {**added, **files}.items():
            wheel.writestr(name, content)
