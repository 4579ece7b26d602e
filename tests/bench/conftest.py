from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mocks
import pytest

from bench import registry
from bench.config.run_options import RunOptions


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded samples of releases go to the user's cache folder: here to another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.system.checksums.user_cache", lambda: tmp_path_factory.getbasetemp() / "cache")
        yield


@pytest.fixture
def mock_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the made-up methods and tasks of `mocks` are registered, beside all encoders."""
    installed = registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda group: mocks.ENTRY_POINTS.get(group) or installed(group))


@pytest.fixture
def mock_suite(tmp_path: Path, mock_registry: None) -> Path:
    """The file of a suite for the made-up tasks."""
    path = tmp_path / "mock.toml"
    path.write_text(mocks.SUITE)
    return path


@pytest.fixture(scope="session")
def few_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for generated videos that is the same for all tests, in whichever process: none may change them."""
    base = tmp_path_factory.getbasetemp()  # in a process of several, a folder of that of the session
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "few_videos"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def options(few_videos: Path) -> Iterator[RunOptions]:
    """Runs on a few generated videos (`mocks.FEW`), on the CPU."""
    from bench.data import splits

    with pytest.MonkeyPatch.context() as patch:
        mocks.generate_few(patch)
        yield RunOptions(few_videos, "cpu")
    splits._cache.clear()
