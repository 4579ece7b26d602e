"""Still pictures of several objects, for the grounding benchmarks.

Every scene has several objects of each category in it, so the category alone never identifies an object. Colors, sizes
and textures are drawn so that their names are unambiguous; two objects of a category always differ in at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.generator import Mask, Pixels
from bench.datasets.mini.colors import background, color, gray
from bench.datasets.mini.draw import Background, Thing, paint, paint_background
from bench.datasets.mini.world import CATEGORIES, CLASSES

SIDE = 112  # pixels of the longer side of a picture; shares of the side are shares of this
FORMATS = ((SIDE, SIDE), (SIDE, 96), (96, SIDE))  # width and height

HUES = {"red": 0, "yellow": 55, "green": 120, "cyan": 180, "blue": 230, "purple": 288}  # degrees
DIAMETERS = {"small": (0.31, 0.34), "large": (0.42, 0.46)}  # shares of the side
_STRETCH = {"Square": 1.2, "Triangle": 1.15}  # factors for shapes that would look smaller than others of their size
PATTERNS = {"plain": ("plain",), "striped": ("bars", "stripes"), "dotted": ("dots",), "checked": ("checks",)}

_HUE_SPREAD = 6  # degrees
_SATURATION = (0.8, 1.0)
_CLUTTER, _GRAIN = 2, 6.0  # of backgrounds

Look = tuple[str, str, str, str]

# Numbers of objects of each category in a scene, with their probabilities.
_GROUPS = {(3,): 0.6, (2, 2): 0.4}
_PLACES = 100  # tried for each object before the scene is started over
_MIN_DISTANCE = 0.92  # between two centers, relative to the sum of the radii: at most corners are hidden


@dataclass(frozen=True)
class Item:
    """One object: its look in words, and how it is drawn.

    Attributes:
        look: Category, color (a key of `HUES`), size (of `DIAMETERS`) and texture (of `PATTERNS`).
        place: Its center, as shares of the picture's width and height from the left and top.
        thing: How it is drawn; positions and sizes are shares of `SIDE`.
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
    """How much objects differ, across all scenes and within one.

    Attributes:
        categories: The categories of all scenes.
        colors: The colors of all scenes.
        textures: The largest number of textures in one scene.
    """

    categories: tuple[str, ...]
    colors: tuple[str, ...]
    textures: int


PRETRAINING = Variety(tuple(CLASSES), tuple(HUES), textures=2)
TASKS = Variety(CATEGORIES, ("red", "yellow", "green", "blue"), textures=1)
"""Less variety than in the pretraining texts, so that a randomly initialized head soon learns what words mean."""


def random_scene(rng: np.random.Generator, variety: Variety = TASKS) -> Scene:
    """Return a random scene of objects of one or two categories."""
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
    """Return the picture (height, width, 3) and, for each object, the mask (height, width) of its visible pixels."""
    window = (slice(scene.height), slice(scene.width))
    pixels, masks = paint([item.thing for item in scene.items], paint_background(scene.background, SIDE))
    return pixels[window], [mask[window] for mask in masks]


def _looks(rng: np.random.Generator, members: Sequence[str], variety: Variety) -> list[Look]:
    """Return each object's category, color, size and texture: no two are alike, but colors and textures recur."""
    colors = rng.choice(variety.colors, rng.integers(3, 5), replace=False)
    textures = rng.choice(list(PATTERNS), variety.textures, replace=False)
    looks: list[Look] = []
    for category in members:
        look = None
        while look is None or look in looks:
            look = (category, str(rng.choice(colors)), str(rng.choice(list(DIAMETERS))), str(rng.choice(textures)))
        looks.append(look)
    return looks


def _things(rng: np.random.Generator, looks: Sequence[Look], width: int, height: int) -> list[Thing] | None:
    """Return the objects at random places that hardly overlap, within the picture; None if one fits nowhere."""
    diameters = np.array([rng.uniform(*DIAMETERS[size]) * _STRETCH.get(category, 1) for category, _, size, _ in looks])
    centers = np.full((len(looks), 2), np.inf)
    for index in np.argsort(diameters)[::-1]:  # large objects are placed first
        diameter = diameters[index]
        reach = diameter * 0.55  # corners of some shapes extend slightly beyond their circle
        places = rng.uniform(reach, np.array([width, height]) / SIDE - reach, (_PLACES, 2))
        distances = np.hypot(*(places[:, None] - centers).T)
        free = (_MIN_DISTANCE * (diameter + diameters) / 2 < distances.T).all(axis=1)
        if not free.any():
            return None
        centers[index] = places[np.argmax(free)]
    return [
        Thing(
            shape=CLASSES[category][0],
            texture=str(rng.choice(PATTERNS[texture])),
            colors=(color(rng, HUES[hue], _HUE_SPREAD, _SATURATION), gray(rng)),
            size=float(diameter),
            x=float(center[0]),
            y=float(center[1]),
            angle=float(rng.uniform(-0.4, 0.4)),
        )
        for (category, hue, _, texture), diameter, center in zip(looks, diameters, centers, strict=True)
    ]
