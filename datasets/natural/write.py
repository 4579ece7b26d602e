"""Natural data in the layouts of the official releases of RefCOCO and of AVSBench's S4."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.datasets.generator import Generator
from bench.datasets.natural import VERSION
from bench.datasets.natural.clip import random_clip
from bench.datasets.natural.facts import GROUPS
from bench.datasets.natural.scene import THINGS, random_scene, render
from bench.datasets.natural.wording import MANNER
from bench.datasets.scenes.refer_layout import World, refer_generator
from bench.datasets.scenes.s4_layout import s4_generator

WORLD = "natural"
_PICTURES = {"train": 1000, "val": 100, "testA": 150, "testB": 150}
_VIDEOS = {"train": 800, "val": 40, "test": 120}


def refcoco(folder: Path) -> Generator:
    """Return the generator of RefCOCO: testA shows known things, testB things that no other split shows.

    Args:
        folder: The folder of the media.
    """
    world = World(
        partial(random_scene, folder),
        partial(render, folder),
        {group: (group, "thing") for group in sorted(set(GROUPS.values()))},
        {"refcoco": MANNER},
        "composed pictures in the format of COCO",
    )
    return refer_generator(world, ["refcoco"], _PICTURES, VERSION, WORLD)


def avs(folder: Path) -> Generator:
    """Return the generator of S4: of three things that could be heard, one is.

    Args:
        folder: The folder of the media.
    """
    return s4_generator(partial(random_clip, folder), _VIDEOS, THINGS, VERSION, WORLD)
