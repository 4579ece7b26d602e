"""The pinned versions can be installed on every Python that the project supports."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
OLDEST_PYTHON = "3.10"
PINNED = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def test_the_oldest_python_is_the_one_that_the_project_declares():
    assert f'requires-python = ">={OLDEST_PYTHON}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("requirement", PINNED, ids=lambda requirement: requirement.name)
def test_a_version_that_needs_a_newer_python_is_pinned_for_that_one_only(requirement):
    try:
        supported = SpecifierSet(metadata(requirement.name).get("Requires-Python", ""))
    except PackageNotFoundError:
        pytest.skip("not installed here")
    applies = requirement.marker is None or requirement.marker.evaluate({"python_version": OLDEST_PYTHON})
    assert not applies or supported.contains(OLDEST_PYTHON)
