"""Performances of the small world: several things side by side, and several sounds one after the other.

Everything that can be asked about a video of ten seconds is fixed by its `Performance`. Some of the things that are
seen are silent, and some of those that are heard are out of sight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.datasets.mini.world import (
    CLASSES,
    TASKS,
    Moment,
    Video,
    random_background,
    random_source,
    random_thing,
)

PERFORMERS = ("Crescent", "Cross", "Disc", "Star, five points")
"""The categories of things and sounds: few, so that few questions are enough to learn from."""

SECONDS = 10
BEATS = 5  # of two seconds; sounds begin and end with one
SIDES = ("left", "right")

_PAIRS = 0.75  # share of videos with two things, and of those with two sounds
_CENTERS = {"left": 0.27, "right": 0.73}  # from the left, as shares of the picture's width
_SIZES = (0.38, 0.46)
_JITTER = 0.04  # of a center
_VISIBLE_SHARE = 0.6  # of the sounds: how often they come from something that is visible

_LEVELS = (0.16, 0.035)  # loudness, from the loudest sound of a video on
_LEVEL_SPREAD = 0.15  # octaves


@dataclass(frozen=True)
class Part:
    """One sound of a video.

    Attributes:
        category: What makes it.
        start: The first beat in which it sounds.
        end: The beat after the last one.
        rank: Its loudness among the video's sounds; 0 is the loudest.
    """

    category: str
    start: int
    end: int
    rank: int


@dataclass(frozen=True)
class Performance:
    """What is visible and audible in a video.

    Attributes:
        visible: The category of the thing on each of `SIDES`, in every second; None if there is none. No two are equal.
        parts: The sounds, one after the other; no two have the same category.
    """

    visible: tuple[str | None, ...]
    parts: tuple[Part, ...]

    @property
    def things(self) -> dict[str, str]:
        """The categories of the visible things, by side."""
        return {side: category for side, category in zip(SIDES, self.visible, strict=True) if category}

    def side(self, category: str) -> str | None:
        """Return the side on which a thing of a category is; None if it is not visible."""
        return SIDES[self.visible.index(category)] if category in self.visible else None

    def part(self, category: str | None) -> Part | None:
        """Return the sound of a category; None if it is silent."""
        return next((part for part in self.parts if part.category == category), None)


def random_performance(rng: np.random.Generator) -> Performance:
    """Return a random performance: mostly of two things and two sounds, else of one."""
    names = [str(name) for name in rng.permutation(PERFORMERS)]
    visible = names[: _number(rng)]
    silent, hidden = list(visible), names[len(visible) :]
    sounding = []
    for _ in range(_number(rng)):
        pool = silent if silent and rng.random() < _VISIBLE_SHARE else hidden
        sounding.append(pool.pop(int(rng.integers(len(pool)))))
    sounding = [str(name) for name in rng.permutation(sounding)]
    bounds = [0, int(rng.integers(2, BEATS - 1)), BEATS] if len(sounding) > 1 else [0, BEATS]
    ranks = [int(rank) for rank in rng.permutation(len(_LEVELS))]
    parts = (Part(name, bounds[i], bounds[i + 1], ranks[i]) for i, name in enumerate(sounding))
    places = [*visible, None][: len(SIDES)]
    return Performance(tuple(places if rng.random() < 0.5 else reversed(places)), tuple(parts))


def _number(rng: np.random.Generator) -> int:
    return 2 if rng.random() < _PAIRS else 1


def stage(rng: np.random.Generator, performance: Performance) -> Video:
    """Return a video of a performance: each second is a new shot, with the things at about the same places."""
    moments = []
    for second in range(SECONDS):
        beat = second * BEATS // SECONDS
        things = []
        for side, category in performance.things.items():
            x, y = _CENTERS[side] + rng.uniform(-_JITTER, _JITTER), rng.uniform(0.35, 0.65)
            things.append(replace(random_thing(rng, category, TASKS, _SIZES), x=float(x), y=float(y)))
        parts = [part for part in performance.parts if part.start <= beat < part.end]
        sources = []
        for part in parts:
            loudness = _LEVELS[part.rank] * 2 ** rng.uniform(-_LEVEL_SPREAD, _LEVEL_SPREAD)
            sources.append(replace(random_source(rng, part.category), loudness=float(loudness)))
        moments.append(
            Moment(
                things=tuple(things),
                visible=tuple(performance.things.values()),
                sources=tuple(sources),
                audible=tuple(part.category for part in parts),
                background=random_background(rng, TASKS),
                hum=float(rng.uniform(0, TASKS.hum)),
            )
        )
    return Video(tuple(moments), "", 0, 0)


def noun(category: str) -> str:
    """Return the word for a category: "star"."""
    return CLASSES[category][0]
