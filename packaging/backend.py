"""Builds this project with setuptools; an editable installation gets a file of its own besides.

setuptools finds the packages of an editable installation after all folders of sys.path were looked through. There a
folder `bench` that is no package, as one of results, would be taken for ours. So a file stands in for the package
where a regular installation has it, and hands over to the checkout.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - all other hooks are those of setuptools

PACKAGE = Path(__file__).resolve().parents[1] / "bench"
STAND_IN = f'''\
"""Stands in for the package in a checkout: see its packaging/backend.py."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

_spec = spec_from_file_location(__name__, {str(PACKAGE / "__init__.py")!r})
sys.modules[__name__] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[__name__])
'''


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of an editable installation in a folder, and returns its name."""
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    path = Path(wheel_directory, name)
    with ZipFile(path) as wheel:
        files = {each: wheel.read(each) for each in wheel.namelist()}
    (record,) = (each for each in files if each.endswith(".dist-info/RECORD"))
    place, content = f"{PACKAGE.name}/__init__.py", STAND_IN.encode()
    checksum = urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
    files[record] = f"{place},sha256={checksum},{len(content)}\n".encode() + files[record]
    with ZipFile(path, "w", ZIP_DEFLATED) as wheel:
        for each, held in {place: content, **files}.items():
            wheel.writestr(each, held)
    return name
