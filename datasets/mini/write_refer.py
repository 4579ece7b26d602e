"""The small world's RefCOCO, RefCOCO+ and RefCOCOg."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.datasets.generator import Generator
from bench.datasets.mini import VERSION
from bench.datasets.mini.expressions import MANNERS
from bench.datasets.mini.scene import TASKS, Scene, random_scene, render
from bench.datasets.mini.wording import NOUNS
from bench.datasets.mini.world import CATEGORIES
from bench.datasets.scenes.refer_layout import World, refer_generator

# RefCOCO's testA has one group of categories (people), its testB the others. Here: curved and cornered shapes.
CURVED = ("Crescent", "Disc", "Ring")
CORNERED = tuple(category for category in CATEGORIES if category not in CURVED)
_CATEGORIES = {"testA": CURVED, "testB": CORNERED}  # by split; the other splits have all categories
_COUNTS = {"train": 1500, "val": 150, "testA": 250, "testB": 250}


def _scene(rng: np.random.Generator, split: str) -> Scene:
    return random_scene(rng, replace(TASKS, categories=_CATEGORIES.get(split, CATEGORIES)))


_WORLD = World(
    _scene,
    render,
    {name: (NOUNS[name][0], "curved" if name in CURVED else "cornered") for name in CATEGORIES},
    MANNERS,
    "generated scenes in the format of COCO",
)


def _generator(*datasets: str) -> Generator:
    return refer_generator(_WORLD, datasets, _COUNTS, VERSION, "mini")


GENERATORS = {
    "refcoco": _generator("refcoco"),
    "refcoco_plus": _generator("refcoco+"),
    "refcocog": _generator("refcocog"),
    "refer": _generator(*MANNERS),
}
"""The generator of each data set's layout; "refer" is that of all three."""
