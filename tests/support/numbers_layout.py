"""Writers of a tiny generated layout, in a module that worker processes can import; a test's own they cannot."""

from __future__ import annotations

import json
from pathlib import Path

from bench.datasets.generator import WrittenSample, save, save_json


def write_number(root: Path, seed: int, split: str, index: int) -> WrittenSample:
    digests: dict[str, str] = {}
    save(root, f"{split}/{index}.txt", str(seed + index).encode(), digests)
    return WrittenSample(split, json.dumps(seed + index), digests, [])


def write_lists(root: Path, samples: list[WrittenSample]) -> dict[str, str]:
    return save_json("{split}.json", root, samples)
