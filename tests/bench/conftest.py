from __future__ import annotations

from pathlib import Path

import mocks
import pytest


@pytest.fixture
def mock_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the made-up methods and tasks of `mocks` are registered."""
    monkeypatch.setattr("bench.registry.entry_points", lambda group: mocks.ENTRY_POINTS[group])


@pytest.fixture
def mock_suite(tmp_path: Path, mock_registry: None) -> Path:
    """The file of a suite for the made-up tasks."""
    path = tmp_path / "mock.toml"
    path.write_text(mocks.SUITE)
    return path
