"""What happens in the small world: which things are seen and heard, second by second.

Eight classes, each a shape with a sound of its own. A scene never gives its answer to one modality: what is seen holds
things that are silent, and what is heard comes in part from out of sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.datasets.mini.draw import TEXTURES, Background, Thing
from bench.datasets.mini.sound import Source

# category name: (shape, timbre). One name holds a comma, as some of AVE's do.
CLASSES: dict[str, tuple[str, str]] = {
    "Crescent": ("crescent", "wind"),
    "Cross": ("cross", "rattle"),
    "Disc": ("disc", "flute"),
    "Heart": ("heart", "pluck"),
    "Ring": ("ring", "bell"),
    "Square": ("square", "reed"),
    "Star, five points": ("star", "siren"),
    "Triangle": ("triangle", "buzz"),
}
CATEGORIES = tuple(CLASSES)


@dataclass(frozen=True)
class Style:
    """How the world is rendered. The media that encoders are pretrained on differ in style from the tasks' media."""

    textures: tuple[str, ...]
    clutter: int  # most lines drawn over a background
    grain: float  # most pixel noise, 0-255
    hum: float  # most noise under the sounds; sources have loudness 0.04 to 0.16


PRETRAINING = Style(textures=("plain", "stripes", "shade", "checks"), clutter=2, grain=6.0, hum=0.01)
TASKS = Style(textures=TEXTURES, clutter=5, grain=12.0, hum=0.02)


@dataclass(frozen=True)
class Moment:
    """One second: the things seen (back to front), their categories, and the categories heard with their sources."""

    things: tuple[Thing, ...]
    seen: tuple[str, ...]
    heard: tuple[str, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Video:
    """A video of the small world: its seconds, and the event `category` in [start, end)."""

    moments: tuple[Moment, ...]
    background: Background
    hum: float
    category: str
    start: int
    end: int


def random_thing(rng: np.random.Generator, category: str, style: Style, sizes: tuple[float, float]) -> Thing:
    """A thing of a category, all else about it by chance; its diameter in `sizes`, as a share of the image's side."""
    size = rng.uniform(*sizes)
    x, y = rng.uniform(size / 2, 1 - size / 2, 2)
    first, second = rng.integers(0, 256, (2, 3))
    return Thing(
        shape=CLASSES[category][0],
        texture=str(rng.choice(style.textures)),
        colours=(_rgb(first), _rgb(second)),
        size=float(size),
        x=float(x),
        y=float(y),
        angle=float(rng.uniform(-0.6, 0.6)),
    )


def random_source(rng: np.random.Generator, category: str) -> Source:
    """A source of a category's timbre, its pitch (two octaves) and loudness (12 dB) by chance."""
    return Source(
        timbre=CLASSES[category][1],
        pitch=float(150 * 2 ** rng.uniform(0, 2)),
        loudness=float(0.04 * 2 ** rng.uniform(0, 2)),
        seed=int(rng.integers(2**31)),
    )


def random_background(rng: np.random.Generator, style: Style) -> Background:
    """A background in a style."""
    first, second = rng.integers(0, 256, (2, 3))
    return Background(
        colours=(_rgb(first), _rgb(second)),
        clutter=int(rng.integers(0, style.clutter + 1)),
        grain=float(rng.uniform(0, style.grain)),
        seed=int(rng.integers(2**31)),
    )


def apart(rng: np.random.Generator, categories: Sequence[str], style: Style, sizes: tuple[float, float]) -> list[Thing]:
    """Things of these categories, some over one another, but none hidden by more than about a third."""
    things: list[Thing] = []
    for category in categories:
        for _ in range(50):
            thing = random_thing(rng, category, style, sizes)
            if all(np.hypot(thing.x - t.x, thing.y - t.y) > 0.38 * (thing.size + t.size) for t in things):
                break
        things.append(thing)
    return things


def moved(rng: np.random.Generator, thing: Thing, step: float = 0.03) -> Thing:
    """The thing a second later: a little further and turned, still inside the picture."""
    half = thing.size / 2
    x, y = np.clip(np.array([thing.x, thing.y]) + rng.normal(0, step, 2), half, 1 - half)
    return replace(thing, x=float(x), y=float(y), angle=thing.angle + float(rng.normal(0, 0.08)))


AVE_SECONDS = 10
AVE_SIZES = (0.36, 0.52)


def ave_video(rng: np.random.Generator, style: Style = TASKS) -> Video:
    """An event of one category that is seen and heard for some seconds of ten.

    In every second two things are seen and two sources heard. In the event one category is in both pairs; before and
    after it, that category falls silent, leaves the picture, or both, and another takes its place there. So the number
    and kind of what is seen, or of what is heard, tell nothing of when there is an event or which of the two it is.
    """
    category, extra_seen, extra_heard, stand_in_seen, stand_in_heard = (
        str(name) for name in rng.choice(CATEGORIES, 5, replace=False)
    )
    length = AVE_SECONDS if rng.random() < 0.25 else int(rng.integers(3, AVE_SECONDS))
    start = int(rng.integers(0, AVE_SECONDS - length + 1))
    end = start + length
    changes = ("silent", "gone", "both")
    before, after = (str(rng.choice(changes)) for _ in range(2))
    sources = {name: random_source(rng, name) for name in (category, extra_heard, stand_in_heard)}
    main, extra = apart(rng, (category, extra_seen), style, AVE_SIZES)
    stand_in = replace(random_thing(rng, stand_in_seen, style, AVE_SIZES), x=main.x, y=main.y, size=main.size)
    in_front = int(rng.integers(2))
    moments = []
    for second in range(AVE_SECONDS):
        change = before if second < start else after if second >= end else ""
        gone, silent = change in ("gone", "both"), change in ("silent", "both")
        pair = [(stand_in, stand_in_seen) if gone else (main, category), (extra, extra_seen)]
        if in_front == 0:
            pair.reverse()
        heard = (stand_in_heard if silent else category, extra_heard)
        things, seen = zip(*pair, strict=True)
        moments.append(Moment(things, seen, heard, tuple(sources[name] for name in heard)))
        main, stand_in, extra = moved(rng, main), moved(rng, stand_in), moved(rng, extra)
    return Video(tuple(moments), random_background(rng, style), float(rng.uniform(0, style.hum)), category, start, end)


AVS_SECONDS = 5
AVS_THINGS = 3
AVS_SIZES = (0.32, 0.5)


def avs_video(rng: np.random.Generator, style: Style = TASKS) -> Video:
    """Three things of different categories, one of which sounds throughout; each as likely as the others to be it."""
    names = [str(name) for name in rng.choice(CATEGORIES, AVS_THINGS, replace=False)]
    category = names[int(rng.integers(AVS_THINGS))]
    source = random_source(rng, category)
    things = apart(rng, names, style, AVS_SIZES)
    moments = []
    for _ in range(AVS_SECONDS):
        moments.append(Moment(tuple(things), tuple(names), (category,), (source,)))
        things = [moved(rng, thing) for thing in things]
    background = random_background(rng, style)
    return Video(tuple(moments), background, float(rng.uniform(0, style.hum)), category, 0, AVS_SECONDS)


def _rgb(values: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in values)
    return red, green, blue
