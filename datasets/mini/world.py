"""What happens in the small world: which things are seen and heard, second by second.

Eight classes, each with a shape and a sound of its own, and a texture and a hue that its things often have; the tasks
are about six of them. A scene does not give its answer to one modality: of what is seen some is silent, and of what is
heard some is out of sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.datasets.mini.colours import background, colour, grey
from bench.datasets.mini.draw import TEXTURES, Background, Thing
from bench.datasets.mini.sound import Source

# category name: (shape, typical texture, timbre). One name holds a comma, as some of AVE's do.
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
"""The classes that the tasks' media hold. Encoders are pretrained on media of all."""


@dataclass(frozen=True)
class Style:
    """How the world is rendered. The media that encoders are pretrained on differ in style from the tasks' media."""

    typical_texture: float  # share of things with the texture of their category; the others have any
    typical_hue: float  # share of things with a hue near their category's; the others have any
    saturation: tuple[float, float]  # of things; backgrounds are paler
    clutter: int  # most lines drawn over a background
    grain: float  # most pixel noise, 0-255
    hum: float  # most noise under the sounds; sources have loudness 0.04 to 0.16


PRETRAINING = Style(typical_texture=0.4, typical_hue=0.0, saturation=(0.3, 0.9), clutter=1, grain=4.0, hum=0.01)
TASKS = Style(typical_texture=0.9, typical_hue=1.0, saturation=(0.6, 1.0), clutter=1, grain=6.0, hum=0.01)
AVE_STYLE = replace(TASKS, typical_texture=0.8, typical_hue=0.85)  # a second of its videos holds little else

_HUE_SPREAD = 15  # degrees


@dataclass(frozen=True)
class Moment:
    """One second: the things seen (back to front) with their categories, and the sources heard with theirs."""

    things: tuple[Thing, ...]
    seen: tuple[str, ...]
    sources: tuple[Source, ...]
    heard: tuple[str, ...]
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
    """A thing of a category, all else about it by chance; its diameter in `sizes`, as a share of the image's side."""
    size = rng.uniform(*sizes)
    x, y = rng.uniform(size / 2, 1 - size / 2, 2)
    shape, texture, _ = CLASSES[category]
    typical = rng.random() < style.typical_hue
    hue = 360 * (CATEGORIES.index(category) / len(CATEGORIES) if typical else rng.random())
    return Thing(
        shape=shape,
        texture=texture if rng.random() < style.typical_texture else str(rng.choice(TEXTURES)),
        colours=(colour(rng, hue, _HUE_SPREAD, style.saturation), grey(rng)),
        size=float(size),
        x=float(x),
        y=float(y),
        angle=float(rng.uniform(-0.6, 0.6)),
    )


def random_source(rng: np.random.Generator, category: str) -> Source:
    """Return a source of a category's timbre, its pitch (two octaves) and loudness (12 dB) by chance."""
    return Source(
        timbre=CLASSES[category][2],
        pitch=float(150 * 2 ** rng.uniform(0, 2)),
        loudness=float(0.04 * 2 ** rng.uniform(0, 2)),
        seed=int(rng.integers(2**31)),
    )


def random_background(rng: np.random.Generator, style: Style) -> Background:
    """Return a background in a style."""
    return background(rng, style.clutter, style.grain)


_PLACES = 30  # tried for each thing
_APART = 0.4  # distance of two centres, in units of their summed sizes, from which little is hidden


def apart(rng: np.random.Generator, categories: Sequence[str], style: Style, sizes: tuple[float, float]) -> list[Thing]:
    """Things of these categories, each at the first of some places by chance at which little is hidden.

    Where every place hides more, at the one that hides least.
    """
    things: list[Thing] = []
    for category in categories:
        thing = random_thing(rng, category, style, sizes)
        places = rng.uniform(thing.size / 2, 1 - thing.size / 2, (_PLACES, 2))
        gap = np.full(_PLACES, 1.0)
        for other in things:
            distance = np.hypot(places[:, 0] - other.x, places[:, 1] - other.y)
            gap = np.minimum(gap, distance / (thing.size + other.size))
        x, y = places[int(np.argmax(np.minimum(gap, _APART)))]
        things.append(replace(thing, x=float(x), y=float(y)))
    return things


def moment(
    rng: np.random.Generator, seen: Sequence[str], heard: Sequence[str], style: Style, sizes: tuple[float, float]
) -> Moment:
    """Return a second with these categories seen, in an order by chance, and heard; all else about it by chance.

    The seconds of a video are shots of their own, so that a small set of videos is not a small set of pictures.
    """
    seen = [str(name) for name in rng.permutation(list(seen))]
    return Moment(
        things=tuple(apart(rng, seen, style, sizes)),
        seen=tuple(seen),
        sources=tuple(random_source(rng, name) for name in heard),
        heard=tuple(heard),
        background=random_background(rng, style),
        hum=float(rng.uniform(0, style.hum)),
    )


AVE_SECONDS = 10
AVE_SIZES = (0.4, 0.6)
_LENGTHS = (4, 7)  # seconds of an event, fewest and most


def ave_video(rng: np.random.Generator, style: Style = AVE_STYLE) -> Video:
    """Return an event of one category that is seen and heard for some seconds of ten.

    In every second one thing is seen and one is heard. Outside the event its category falls silent, or leaves the
    picture, or both, and another takes its place there. So neither modality tells alone when there is an event.
    """
    category = str(rng.choice(CATEGORIES))
    others = [name for name in CATEGORIES if name != category]
    length = int(rng.integers(_LENGTHS[0], _LENGTHS[1] + 1))
    start = int(rng.integers(0, AVE_SECONDS - length + 1))
    moments = []
    for second in range(AVE_SECONDS):
        first, other = (str(name) for name in rng.choice(others, 2, replace=False))
        seen, heard = [(category, first), (first, category), (first, other)][int(rng.integers(3))]
        if start <= second < start + length:
            seen = heard = category
        moments.append(moment(rng, [seen], [heard], style, AVE_SIZES))
    return Video(tuple(moments), category, start, start + length)


AVS_SECONDS = 5
AVS_THINGS = 4
AVS_SIZES = (0.34, 0.44)


def avs_video(rng: np.random.Generator, style: Style = TASKS, *, still: bool = False) -> Video:
    """Four things of different categories, one of which sounds throughout; each as likely as the others to be it.

    A still video repeats its first second: that serves where only the first one is annotated, and is made faster.
    """
    names = [str(name) for name in rng.choice(CATEGORIES, AVS_THINGS, replace=False)]
    shots = 1 if still else AVS_SECONDS
    moments = tuple(moment(rng, names, names[:1], style, AVS_SIZES) for _ in range(shots))
    return Video(moments * (AVS_SECONDS // shots), names[0], 0, AVS_SECONDS)


def ms3_video(rng: np.random.Generator, style: Style = TASKS) -> Video:
    """Four things of different categories, of which in each second two sound, or one, or none; in the first, two."""
    names = [str(name) for name in rng.choice(CATEGORIES, AVS_THINGS, replace=False)]
    sounding = [2, *rng.integers(0, 3, AVS_SECONDS - 1).tolist()]
    moments = tuple(moment(rng, names, names[:count], style, AVS_SIZES) for count in sounding)
    return Video(moments, "", 0, AVS_SECONDS)
