from __future__ import annotations

from pathlib import Path

import pytest

from bench.datasets.build import Manifest, build

VIDEOS = {"train": 3, "val": 1, "test": 2}


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> dict[str, tuple[Path, Manifest]]:
    """A few generated videos in each layout."""
    layouts = {}
    for benchmark in ("ave", "avs"):
        root = tmp_path_factory.mktemp(benchmark)
        layouts[benchmark] = root, build(root, benchmark, seed=0, counts=VIDEOS, workers=1)
    return layouts
