"""Performances of the small world: acts, one after the other, each with its sound and with one or two things.

Everything that can be asked about a video of ten seconds is fixed by its `Performance`. What sounds in an act need not
be what is seen in it: sight does not tell what is heard, nor the other way round.
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
BEATS = 5  # of two seconds; acts begin and end with one
SIDES = ("left", "right")

_ACTS = ((2, 3), (1, 2, 2))  # lengths in beats, in any order
_PAIRS = 0.3  # share of acts with two things
_CENTERS = {"left": 0.27, "right": 0.73}  # from the left, as shares of the picture's width
_SIZES = (0.38, 0.46)
_JITTER = 0.04  # of a center

_LOUD, _LOW = 0.16, 0.035  # loudness: one act of a video is loud
_LEVEL_SPREAD = 0.15  # octaves


@dataclass(frozen=True)
class Act:
    """Some beats of a video, throughout which the same is seen and heard.

    Attributes:
        beats: How many.
        sound: The category of what sounds; no two acts have the same.
        loud: Whether it is the loudest sound of the video.
        visible: The category of the thing on each of `SIDES`; None if there is none. No two are equal.
    """

    beats: int
    sound: str
    loud: bool
    visible: tuple[str | None, ...]

    @property
    def things(self) -> dict[str, str]:
        """The categories of the visible things, by side."""
        return {side: category for side, category in zip(SIDES, self.visible, strict=True) if category}


@dataclass(frozen=True)
class Performance:
    """What is visible and audible in a video: its acts, in order."""

    acts: tuple[Act, ...]

    def sounding(self, category: str) -> Act | None:
        """Return the act in which a category sounds."""
        return next((act for act in self.acts if act.sound == category), None)

    def showing(self, category: str) -> list[Act]:
        """Return the acts in which a thing of a category is visible."""
        return [act for act in self.acts if category in act.visible]


def random_performance(rng: np.random.Generator) -> Performance:
    """Return a random performance of two or three acts."""
    lengths = rng.permutation(_ACTS[int(rng.integers(len(_ACTS)))])
    sounds = rng.permutation(PERFORMERS)
    loud = int(rng.integers(len(lengths)))
    acts = (Act(int(beats), str(sounds[i]), i == loud, _random_things(rng)) for i, beats in enumerate(lengths))
    return Performance(tuple(acts))


def _random_things(rng: np.random.Generator) -> tuple[str | None, ...]:
    first, second = (str(name) for name in rng.permutation(PERFORMERS)[:2])
    if rng.random() < _PAIRS:
        return first, second
    return (first, None) if rng.random() < 0.5 else (None, first)


def stage(rng: np.random.Generator, performance: Performance) -> Video:
    """Return a video of a performance: each second is a new shot, with an act's things at about the same places."""
    moments = []
    for act in performance.acts:
        for _ in range(act.beats * SECONDS // BEATS):
            things = []
            for side, category in act.things.items():
                x, y = _CENTERS[side] + rng.uniform(-_JITTER, _JITTER), rng.uniform(0.35, 0.65)
                things.append(replace(random_thing(rng, category, TASKS, _SIZES), x=float(x), y=float(y)))
            loudness = (_LOUD if act.loud else _LOW) * 2 ** rng.uniform(-_LEVEL_SPREAD, _LEVEL_SPREAD)
            moments.append(
                Moment(
                    things=tuple(things),
                    visible=tuple(act.things.values()),
                    sources=(replace(random_source(rng, act.sound), loudness=float(loudness)),),
                    audible=(act.sound,),
                    background=random_background(rng, TASKS),
                    hum=float(rng.uniform(0, TASKS.hum)),
                )
            )
    return Video(tuple(moments), "", 0, 0)


def noun(category: str) -> str:
    """Return the word for a category: "star"."""
    return CLASSES[category][0]
