"""Natural data in the layouts of the official releases of RefCOCO and of AVSBench's S4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.generator import Generator, Mask, Pixels
from bench.datasets.natural import VERSION
from bench.datasets.natural.clip import random_clip, random_named_clip
from bench.datasets.natural.facts import GROUPS
from bench.datasets.natural.media import checksum, located
from bench.datasets.natural.scene import THINGS, Scene, random_scene, render
from bench.datasets.natural.things import all_languages
from bench.datasets.natural.wording import MANNER
from bench.datasets.scenes.refer_layout import World, refer_generator
from bench.datasets.scenes.s4_layout import Clip, s4_generator

WORLD = "natural"
_PICTURES = {"train": 1200, "val": 70, "testA": 75, "testB": 75}
_VIDEOS = {"train": 2000, "val": 60, "test": 100}


def refcoco(root: Path | None) -> Generator:
    """Return the generator of RefCOCO: testA shows known things, testB things that no other split shows.

    Args:
        root: Where the media are, as for `bench.datasets.natural.media.located`. It is not looked at yet.
    """
    world = World(
        partial(_scene, root),
        partial(_rendered, root),
        {group: (group, "thing") for group in sorted(set(GROUPS.values()))},
        {"refcoco": MANNER},
        "composed pictures in the format of COCO",
    )
    return _of_media(refer_generator(world, ["refcoco"], _PICTURES, VERSION, WORLD), root)


def avs(root: Path | None) -> Generator:
    """Return the generator of S4: of three things that could be heard, one is.

    Args:
        root: Where the media are, as for `refcoco`.
    """
    return _of_media(s4_generator(partial(_clip, root), _VIDEOS, THINGS, VERSION, WORLD), root)


def avs_named(root: Path | None) -> Generator:
    """Return the generator of S4 in which a thing's name is heard, in the tests in a language that is new.

    Args:
        root: Where the media are, as for `refcoco`.
    """
    generator = s4_generator(partial(_named_clip, root), _VIDEOS, THINGS, VERSION, f"{WORLD}-names")
    return _of_media(generator, root, all_languages())


def _of_media(generator: Generator, root: Path | None, languages: Sequence[str] = ()) -> Generator:
    return replace(generator, media=partial(_checksum, root, languages))


# What other processes call is a function of this module.


def _checksum(root: Path | None, languages: Sequence[str]) -> str:
    return checksum(located(root), languages)


def _scene(root: Path | None, rng: np.random.Generator, split: str) -> Scene:
    return random_scene(located(root), rng, split)


def _rendered(root: Path | None, scene: Any) -> tuple[Pixels, list[Mask]]:
    return render(located(root), scene)


def _clip(root: Path | None, rng: np.random.Generator, split: str) -> Clip:
    return random_clip(located(root), rng, split)


def _named_clip(root: Path | None, rng: np.random.Generator, split: str) -> Clip:
    return random_named_clip(located(root), rng, split)
