"""What happens in the small world: which objects are visible and audible, second by second.

There are eight classes, each with its own shape and timbre and a typical texture and hue; the tasks use six of them.
One modality alone does not reveal the answer: some visible objects are silent, some audible ones are out of sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.datasets.mini.colors import background, color, gray
from bench.datasets.mini.draw import TEXTURES, Background, Thing
from bench.datasets.mini.sound import Source

# category name: (shape, typical texture, timbre). One name contains a comma, as some of AVE's do.
CLASSES: dict[str, tuple[str, str, str]] = {
    "Crescent": ("crescent", "shade", "wind"),
    "Cross": ("cross", "grid", "rattle"),
    "Disc": ("disc", "plain", "flute"),
    "Heart": ("heart", "dots", "pluck"),
    "Ring": ("ring", "slant", "bell"),
    "Square": ("square", "checks", "reed"),
    "Star, five points": ("star", "bars", "siren"),
    "Triangle": ("triangle", "stripes", "buzz"),
}
CATEGORIES = ("Crescent", "Cross", "Disc", "Ring", "Star, five points", "Triangle")
"""The classes that the tasks use. Encoders are pretrained on all classes."""


@dataclass(frozen=True)
class Style:
    """How the world is rendered. Pretraining media and the tasks' media differ in style.

    Attributes:
        typical_texture: Share of objects with their category's texture; the others have a random one.
        typical_hue: Share of objects with a hue near their category's; the others have a random one.
        saturation: Range of the objects' saturation, within 0 to 1; backgrounds are paler.
        clutter: The largest number of lines drawn over a background.
        grain: The largest standard deviation of the pixel noise, of 255.
        hum: The largest standard deviation of the background noise; sources have loudness 0.04 to 0.16.
    """

    typical_texture: float
    typical_hue: float
    saturation: tuple[float, float]
    clutter: int
    grain: float
    hum: float


PRETRAINING = Style(typical_texture=0.4, typical_hue=0.0, saturation=(0.3, 0.9), clutter=1, grain=4.0, hum=0.01)
TASKS = Style(typical_texture=0.9, typical_hue=1.0, saturation=(0.6, 1.0), clutter=1, grain=6.0, hum=0.01)
AVE_STYLE = replace(TASKS, typical_texture=0.8, typical_hue=0.85)  # its seconds show a single object, an easier task

_HUE_SPREAD = 15  # degrees


@dataclass(frozen=True)
class Moment:
    """One second of a video.

    Attributes:
        things: The visible objects, back to front.
        visible: Their categories.
        sources: The audible sources.
        audible: Their categories.
        background: The background.
        hum: The standard deviation of the background noise.
    """

    things: tuple[Thing, ...]
    visible: tuple[str, ...]
    sources: tuple[Source, ...]
    audible: tuple[str, ...]
    background: Background
    hum: float


@dataclass(frozen=True)
class Video:
    """A video of the small world: its seconds, and the event `category` in [start, end)."""

    moments: tuple[Moment, ...]
    category: str
    start: int
    end: int


def random_thing(rng: np.random.Generator, category: str, style: Style, sizes: tuple[float, float]) -> Thing:
    """Return a random object of a category, with a diameter within `sizes` (shares of the image's side)."""
    size = rng.uniform(*sizes)
    x, y = rng.uniform(size / 2, 1 - size / 2, 2)
    shape, texture, _ = CLASSES[category]
    typical = rng.random() < style.typical_hue
    hue = 360 * (CATEGORIES.index(category) / len(CATEGORIES) if typical else rng.random())
    return Thing(
        shape=shape,
        texture=texture if rng.random() < style.typical_texture else str(rng.choice(TEXTURES)),
        colors=(color(rng, hue, _HUE_SPREAD, style.saturation), gray(rng)),
        size=float(size),
        x=float(x),
        y=float(y),
        angle=float(rng.uniform(-0.6, 0.6)),
    )


def random_source(rng: np.random.Generator, category: str) -> Source:
    """Return a source of a category's timbre, with random pitch (over two octaves) and loudness (over 12 dB)."""
    return Source(
        timbre=CLASSES[category][2],
        pitch=float(150 * 2 ** rng.uniform(0, 2)),
        loudness=float(0.04 * 2 ** rng.uniform(0, 2)),
        seed=int(rng.integers(2**31)),
    )


def random_background(rng: np.random.Generator, style: Style) -> Background:
    """Return a random background in a style."""
    return background(rng, style.clutter, style.grain)


_PLACES = 30  # tried for each object
_CLEAR_DISTANCE = 0.4  # between two centers, relative to the sum of the sizes, from which on little is hidden


def separate_things(
    rng: np.random.Generator, categories: Sequence[str], style: Style, sizes: tuple[float, float]
) -> list[Thing]:
    """Return objects of these categories, each at the first random place where little is hidden.

    If there is no such place among those tried, the object is at the one that hides least.
    """
    things: list[Thing] = []
    for category in categories:
        thing = random_thing(rng, category, style, sizes)
        places = rng.uniform(thing.size / 2, 1 - thing.size / 2, (_PLACES, 2))
        gap = np.full(_PLACES, 1.0)
        for placed in things:
            distance = np.hypot(places[:, 0] - placed.x, places[:, 1] - placed.y)
            gap = np.minimum(gap, distance / (thing.size + placed.size))
        x, y = places[int(np.argmax(np.minimum(gap, _CLEAR_DISTANCE)))]
        things.append(replace(thing, x=float(x), y=float(y)))
    return things


def moment(
    rng: np.random.Generator, visible: Sequence[str], audible: Sequence[str], style: Style, sizes: tuple[float, float]
) -> Moment:
    """Return a random second with these visible categories, in random order, and these audible ones.

    Every second of a video is a new shot, so that a small set of videos is not a small set of pictures.
    """
    visible = [str(name) for name in rng.permutation(list(visible))]
    return Moment(
        things=tuple(separate_things(rng, visible, style, sizes)),
        visible=tuple(visible),
        sources=tuple(random_source(rng, name) for name in audible),
        audible=tuple(audible),
        background=random_background(rng, style),
        hum=float(rng.uniform(0, style.hum)),
    )


AVE_SECONDS = 10
AVE_SIZES = (0.4, 0.6)
_LENGTHS = (4, 7)  # shortest and longest event, in seconds


def ave_video(rng: np.random.Generator, style: Style = AVE_STYLE) -> Video:
    """Return a video of ten seconds, in some of which the event's category is both visible and audible.

    In every second one object is visible and one is audible. Outside the event, its category is silent, or not in the
    picture, or both, and another category takes its place. So neither modality alone shows when the event happens.
    """
    category = str(rng.choice(CATEGORIES))
    distractors = [name for name in CATEGORIES if name != category]
    length = int(rng.integers(_LENGTHS[0], _LENGTHS[1] + 1))
    start = int(rng.integers(0, AVE_SECONDS - length + 1))
    moments = []
    for second in range(AVE_SECONDS):
        a, b = (str(name) for name in rng.choice(distractors, 2, replace=False))
        visible, audible = [(category, a), (a, category), (a, b)][int(rng.integers(3))]
        if start <= second < start + length:
            visible = audible = category
        moments.append(moment(rng, [visible], [audible], style, AVE_SIZES))
    return Video(tuple(moments), category, start, start + length)


AVS_SECONDS = 5
AVS_THINGS = 4
AVS_SIZES = (0.34, 0.44)


def avs_video(rng: np.random.Generator, style: Style = TASKS, *, still: bool = False) -> Video:
    """Return a video of four objects of different categories, one of which, chosen at random, sounds throughout.

    A still video repeats its first second: it is faster to make, and enough if only the first second is annotated.
    """
    names = [str(name) for name in rng.choice(CATEGORIES, AVS_THINGS, replace=False)]
    shots = 1 if still else AVS_SECONDS
    moments = tuple(moment(rng, names, names[:1], style, AVS_SIZES) for _ in range(shots))
    return Video(moments * (AVS_SECONDS // shots), names[0], 0, AVS_SECONDS)
