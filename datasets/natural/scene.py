"""Scenes of three photographed things before a photograph.

At least two things of a kind are in nearly all of them, so that the kind alone does not decide which one is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from bench.datasets.generator import Mask, Pixels
from bench.datasets.natural import media
from bench.datasets.natural.things import Thing, catalogue, known_things, new_things
from bench.datasets.scenes.wording import any_of

Range = tuple[float, float]

SIDE = 160  # pixels
THINGS = 3
SIZES: Mapping[str, Range] = {
    "small": (0.34, 0.4),
    "large": (0.5, 0.56),
}  # longer side of the box around a thing, as a share of SIDE

# How many things of a scene are of one kind, with probabilities; and of these, whether it is the noun or the group.
_ALIKE = {2: 0.5, 3: 0.5}
_SAME_NOUN = 0.4
_PLACES = 60  # tried for each thing before the scene is started over
_CROPS = (0.5, 1.0)  # of a background: the side of the square, as a share of its shorter side
_LIGHT = (0.8, 1.15)  # factors of brightness, of each thing and of the background
_NEW_SPLIT = "testB"  # shows things that no other split shows
_HELD_OUT = {"val": 0.2, "test": 0.25}  # shares of the backgrounds


@dataclass(frozen=True)
class Item:
    """One thing in a scene.

    Attributes:
        look: Its group, its noun, its whole name, and its size (a key of `SIZES`).
        place: The center of its box, as shares of the picture's width and height from the left and top.
        thing: The thing.
        longest: The longer side of its box, in pixels.
        mirrored: Whether it is mirrored.
        light: The factor of its brightness.
    """

    look: tuple[str, str, str, str]
    place: tuple[float, float]
    thing: Thing
    longest: int
    mirrored: bool
    light: float


@dataclass(frozen=True)
class Backdrop:
    """A square of a photograph: its file, left, top and side as shares of what is possible, and how it is shown."""

    path: Path
    left: float
    top: float
    side: float
    mirrored: bool
    light: float


@dataclass(frozen=True)
class Scene:
    """Three things, back to front, before a background, in a picture of `width` and `height` pixels."""

    items: tuple[Item, ...]
    backdrop: Backdrop
    width: int = SIDE
    height: int = SIDE


def random_scene(folder: Path, rng: np.random.Generator, split: str) -> Scene:
    """Return a random scene with the things and the backgrounds of a split.

    Args:
        folder: The folder of the media.
        rng: The source of chance.
        split: "train", "val", "testA" (known things), or "testB" (new ones).
    """
    all_things = catalogue(folder)
    pool = new_things(all_things) if split == _NEW_SPLIT else known_things(all_things)
    while True:
        scene = composed(folder, rng, split, _members(rng, pool))
        if all(_is_distinct(item.look, scene.items) for item in scene.items):
            return scene


def composed(
    folder: Path, rng: np.random.Generator, split: str, things: Sequence[Thing], sizes: Mapping[str, Range] = SIZES
) -> Scene:
    """Return a scene of given things, in random sizes and places, before a background of the split.

    Args:
        folder: The folder of the media.
        rng: The source of chance.
        split: As for `random_scene`.
        things: The things, back to front.
        sizes: The sizes to draw from, as `SIZES`.
    """
    items = None
    while items is None:
        items = _placed(folder, rng, things, sizes)
    return Scene(items, _backdrop(folder, rng, split))


def backgrounds_of(folder: Path, split: str) -> list[Path]:
    """Return the backgrounds of a split. Those of training, validation and tests differ; all tests have the same."""
    paths = media.backgrounds(folder)
    counts = {part: max(1, round(share * len(paths))) for part, share in _HELD_OUT.items()}
    held_out = sum(counts.values())
    if split == "train":
        return paths[held_out:]
    return paths[: counts["val"]] if split == "val" else paths[counts["val"] : held_out]


def _members(rng: np.random.Generator, pool: Sequence[Thing]) -> list[Thing]:
    """Return the things of a scene: mostly some of one group or noun, and others of other groups."""
    alike = int(rng.choice(list(_ALIKE), p=list(_ALIKE.values())))
    first = any_of(rng, pool)
    same_noun = rng.random() < _SAME_NOUN
    things = [first]
    while len(things) < THINGS:
        thing = any_of(rng, pool)
        if len(things) >= alike:
            fitting = thing.group not in {member.group for member in things}
        elif same_noun:
            thing = any_of(rng, [candidate for candidate in pool if candidate.noun == first.noun])
            fitting = sum(member.title == thing.title for member in things) < len(SIZES)
        else:
            fitting = thing.group == first.group and thing.noun not in {member.noun for member in things}
        if fitting or rng.random() < 0.01:  # a pool may have too few groups, or nouns of a group
            things.append(thing)
    return [things[index] for index in rng.permutation(len(things))]


def _placed(
    folder: Path, rng: np.random.Generator, things: Sequence[Thing], sizes: Mapping[str, Range]
) -> tuple[Item, ...] | None:
    """Return things at random places that do not overlap; None if one fits nowhere."""
    items: list[Item] = []
    boxes: list[tuple[float, float, float, float]] = []
    for thing in things:
        size = any_of(rng, list(sizes))
        longest = int(SIDE * rng.uniform(*sizes[size]))
        height, width = (side / SIDE for side in _cutout(folder, thing, longest).size[::-1])
        places = rng.uniform((width / 2, height / 2), (1 - width / 2, 1 - height / 2), (_PLACES, 2))
        free = [place for place in places if not any(_overlap(place, (width, height), box) for box in boxes)]
        if not free:
            return None
        x, y = (float(value) for value in free[0])
        boxes.append((x, y, width, height))
        mirrored = thing.mirrors and bool(rng.random() < 0.5)
        light = float(rng.uniform(*_LIGHT))
        items.append(Item((thing.group, thing.noun, thing.title, size), (x, y), thing, longest, mirrored, light))
    return tuple(items)


def _is_distinct(look: tuple[str, str, str, str], items: Sequence[Item]) -> bool:
    """Return whether the whole name and the size in a look fit one of the things only."""
    *_, title, size = look
    return sum(title in item.look[:3] and size == item.look[3] for item in items) == 1


def _overlap(place: Sequence[float], sides: tuple[float, float], box: tuple[float, float, float, float]) -> bool:
    """Return whether two boxes overlap: the first by its center and sides, the second by all of these."""
    x, y, width, height = box
    return bool(abs(place[0] - x) < (sides[0] + width) / 2 and abs(place[1] - y) < (sides[1] + height) / 2)


def _backdrop(folder: Path, rng: np.random.Generator, split: str) -> Backdrop:
    left, top, side, light = (
        float(value) for value in rng.uniform((0, 0, _CROPS[0], _LIGHT[0]), (1, 1, _CROPS[1], _LIGHT[1]))
    )
    return Backdrop(any_of(rng, backgrounds_of(folder, split)), left, top, side, bool(rng.random() < 0.5), light)


def render(folder: Path, scene: Scene) -> tuple[Pixels, list[Mask]]:
    """Return the picture (height, width, 3) of a scene and, for each thing, the mask of its visible pixels."""
    canvas = _photograph(scene.backdrop)
    masks: list[Mask] = []
    for item in scene.items:
        cutout = _cutout(folder, item.thing, item.longest)
        if item.mirrored:
            cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(cutout, dtype=np.float32)
        left = min(max(0, round(item.place[0] * SIDE - cutout.width / 2)), SIDE - cutout.width)
        top = min(max(0, round(item.place[1] * SIDE - cutout.height / 2)), SIDE - cutout.height)
        window = (slice(top, top + cutout.height), slice(left, left + cutout.width))
        share = pixels[..., 3:] / 255
        canvas[window] = share * np.minimum(item.light * pixels[..., :3], 255) + (1 - share) * canvas[window]
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        mask[window] = share[..., 0] > 0.5
        masks = [earlier & ~mask for earlier in masks] + [mask]
    return np.rint(canvas).astype(np.uint8), masks


def _photograph(backdrop: Backdrop) -> np.ndarray:
    """Return a background (SIDE, SIDE, 3), of floats."""
    picture = _background(backdrop.path)
    side = backdrop.side * min(picture.size)
    left, top = backdrop.left * (picture.width - side), backdrop.top * (picture.height - side)
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    if backdrop.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.minimum(backdrop.light * np.asarray(picture, dtype=np.float32), 255)


@lru_cache(maxsize=32)
def _background(path: Path) -> Image.Image:
    picture = media.read_background(path)
    picture.thumbnail((4 * SIDE, 4 * SIDE), Image.Resampling.LANCZOS)
    return picture


@lru_cache(maxsize=512)
def _stamp(folder: Path, stamp: str) -> Image.Image:
    return Image.fromarray(media.read_stamp(folder, stamp))


def _cutout(folder: Path, thing: Thing, longest: int) -> Image.Image:
    """Return a thing in RGBA with a longer side of `longest` pixels. What is transparent has no influence on colors."""
    stamp = _stamp(folder, thing.stamp)
    scale = longest / max(stamp.size)
    size = (max(1, round(scale * stamp.width)), max(1, round(scale * stamp.height)))
    return stamp.convert("RGBa").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).convert("RGBA")
