"""Small releases in the official layouts, and tiny encoders in local folders, for the suite `full`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from encoders import write_encoders
from official import write_official


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Redirect the user's cache folder, also for commands that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of encoders by modality."""
    return write_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns the folder of a release, written at its first call."""
    written: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in written:
            written[name] = write_official(tmp_path_factory.mktemp(name) / "root", name)
        return written[name]

    return get


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread; models this small run slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
