"""Still pictures of several objects that an expression can tell apart: what the grounding benchmarks are made of.

Every object has others of its own category beside it, so that the category alone never says which one is meant. Colour,
size and texture have names and are drawn so that the names are clear; two objects of a category always differ in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.mini.colours import background, colour, grey
from bench.datasets.mini.draw import Background, Mask, Pixels, Thing, paint, paint_background
from bench.datasets.mini.world import CATEGORIES, CLASSES

SIDE = 112  # pixels of the longer side of a picture; what is a share of the side is a share of this
FORMATS = ((SIDE, SIDE), (SIDE, 96), (96, SIDE))  # width and height

HUES = {"red": 0, "yellow": 55, "green": 120, "cyan": 180, "blue": 230, "purple": 288}  # degrees
DIAMETERS = {"small": (0.31, 0.34), "large": (0.42, 0.46)}  # shares of the side
_STRETCH = {"Square": 1.2, "Triangle": 1.15}  # beyond those, so that no shape looks smaller than others of its size
PATTERNS = {"plain": ("plain",), "striped": ("bars", "stripes"), "dotted": ("dots",), "checked": ("checks",)}

_HUE_SPREAD = 6  # degrees
_SATURATION = (0.8, 1.0)
_CLUTTER, _GRAIN = 2, 6.0  # of backgrounds

Look = tuple[str, str, str, str]

# How many objects of each category a scene holds, and how often.
_GROUPS = {(3,): 0.6, (2, 2): 0.4}
_PLACES = 100  # tried for each object before the scene is begun again
_APART = 0.92  # least distance of two centres, in units of their summed radii: at most corners are hidden


@dataclass(frozen=True)
class Item:
    """One object with the words that are true of it, and how it is drawn.

    Attributes:
        look: category, colour (a key of `HUES`), size (of `DIAMETERS`) and texture (of `PATTERNS`).
        place: its centre, as shares of the picture's width and height from the left and top.
        thing: how it is drawn; its places are shares of `SIDE`.
    """

    look: Look
    place: tuple[float, float]
    thing: Thing


@dataclass(frozen=True)
class Scene:
    """Three or four objects, back to front, in a picture of `width` and `height` pixels."""

    items: tuple[Item, ...]
    background: Background
    width: int
    height: int


@dataclass(frozen=True)
class Variety:
    """How much objects differ, over all scenes and within one."""

    categories: tuple[str, ...]
    colours: tuple[str, ...]
    textures: int  # of the objects of a scene, at most


PRETRAINING = Variety(tuple(CLASSES), tuple(HUES), textures=2)
TASKS = Variety(CATEGORIES, ("red", "yellow", "green", "blue"), textures=1)
"""Less than in the texts that an encoder is pretrained on: so a head of random weights learns soon what words mean."""


def random_scene(rng: np.random.Generator, variety: Variety = TASKS) -> Scene:
    """Return a scene of objects of one or two categories, all else by chance."""
    groups = list(_GROUPS)[rng.choice(len(_GROUPS), p=list(_GROUPS.values()))]
    names = [str(name) for name in rng.choice(variety.categories, len(groups), replace=False)]
    members = [name for name, count in zip(names, groups, strict=True) for _ in range(count)]
    members = [str(name) for name in rng.permutation(members)]
    width, height = FORMATS[rng.integers(len(FORMATS))]
    things: list[Thing] | None = None
    while things is None:
        looks = _looks(rng, members, variety)
        things = _things(rng, looks, width, height)
    items = (
        Item(look, place=(thing.x * SIDE / width, thing.y * SIDE / height), thing=thing)
        for look, thing in zip(looks, things, strict=True)
    )
    return Scene(tuple(items), background(rng, _CLUTTER, _GRAIN), width, height)


def render(scene: Scene) -> tuple[Pixels, list[Mask]]:
    """Return the picture (height, width, 3) and, for each object, the mask (height, width) of what is seen of it."""
    window = (slice(scene.height), slice(scene.width))
    pixels, masks = paint([item.thing for item in scene.items], paint_background(scene.background, SIDE))
    return pixels[window], [mask[window] for mask in masks]


def _looks(rng: np.random.Generator, members: Sequence[str], variety: Variety) -> list[Look]:
    """Category, colour, size and texture of each object: no two alike, though colours and textures recur."""
    colours = rng.choice(variety.colours, rng.integers(3, 5), replace=False)
    textures = rng.choice(list(PATTERNS), variety.textures, replace=False)
    looks: list[Look] = []
    for category in members:
        look = None
        while look is None or look in looks:
            look = (category, str(rng.choice(colours)), str(rng.choice(list(DIAMETERS))), str(rng.choice(textures)))
        looks.append(look)
    return looks


def _things(rng: np.random.Generator, looks: Sequence[Look], width: int, height: int) -> list[Thing] | None:
    """Return the objects, apart from one another and within the picture; None where chance finds no place for one."""
    diameters = np.array([rng.uniform(*DIAMETERS[size]) * _STRETCH.get(category, 1) for category, _, size, _ in looks])
    centres = np.full((len(looks), 2), np.inf)
    for index in np.argsort(diameters)[::-1]:  # what is large finds its place first
        diameter = diameters[index]
        reach = diameter * 0.55  # corners of some shapes lie a little outside their circle
        places = rng.uniform(reach, np.array([width, height]) / SIDE - reach, (_PLACES, 2))
        distances = np.hypot(*(places[:, None] - centres).T)
        free = (_APART * (diameter + diameters) / 2 < distances.T).all(axis=1)
        if not free.any():
            return None
        centres[index] = places[np.argmax(free)]
    return [
        Thing(
            shape=CLASSES[category][0],
            texture=str(rng.choice(PATTERNS[texture])),
            colours=(colour(rng, HUES[hue], _HUE_SPREAD, _SATURATION), grey(rng)),
            size=float(diameter),
            x=float(centre[0]),
            y=float(centre[1]),
            angle=float(rng.uniform(-0.4, 0.4)),
        )
        for (category, hue, _, texture), diameter, centre in zip(looks, diameters, centres, strict=True)
    ]
