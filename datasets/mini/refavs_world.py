"""Scenes and expressions of Ref-AVS in the small world: things that look alike, and of which several sound.

A video shows three things: a small and a large one of the same category, and one of another category. Two of the three
sound, one after the other, one loudly and one quietly. In this world, as in the real one, large things sound low and
small things sound high; and whatever sounds has the timbre of its category. So who sees a video knows which thing is
heard, by timbre if the categories differ, by pitch and size if they do not.

An expression says which of the things is meant, by when or how loudly it sounds, or that it is silent; sometimes by its
category, too, but only if there are two of it. Without sight one does not know where the thing is, without hearing one
does not know which of them sounds so, and without words one does not know which of them is meant. Expressions never
name a size, a pitch or a place: those would make hearing or sight dispensable.

Few relations with large cues can be learned from some hundred expressions: every second with its single source says
which thing is heard and whether it is loud; only the order needs several seconds. Every second is a new shot, so that
few videos are not few pictures. Timbres without a pitch are left out: nothing would tell a small thing from a large
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.mini.colors import background, color, gray
from bench.datasets.mini.draw import TEXTURES, Thing
from bench.datasets.mini.sound import Source
from bench.datasets.mini.wording import NOUNS, any_of
from bench.datasets.mini.world import CLASSES, Moment, Video

FAMILIAR = ("Disc", "Ring", "Star, five points", "Triangle")
NOVEL = ("Heart", "Square")
"""Categories of `test_u` only. The encoders were pretrained on them, each in one modality; only that large things sound
low tells which of them is heard."""

SECONDS = 10
SIZES = {"small": (0.19, 0.22), "large": (0.42, 0.46)}  # diameters, as shares of the picture's side
PITCHES = {"small": (520.0, 620.0), "large": (140.0, 165.0)}  # Hz
LOUDNESS = {"loud": (0.16, 0.22), "quiet": (0.025, 0.035)}  # root mean squares
_TURNS = (4, 5, 6)  # the second in which the second thing begins to sound
_CELL = 0.5  # side of the quarter of a picture in which a thing is
_TYPICAL_TEXTURE = 0.9
_HUE_SPREAD = 15  # degrees
_SATURATION = (0.6, 1.0)
_CLUTTER, _GRAIN, _HUM = 1, 6.0, 0.004


@dataclass(frozen=True)
class Voice:
    """How a thing sounds: from second `start` to before second `end`, "loud" or "quiet"."""

    start: int
    end: int
    loudness: str


@dataclass(frozen=True)
class Actor:
    """A thing throughout a video: its category, its size (a key of `SIZES`), its voice; None if it is silent."""

    category: str
    size: str
    voice: Voice | None

    @property
    def manners(self) -> frozenset[str]:
        """All that an expression may say of its sound: keys of `MANNERS`."""
        if self.voice is None:
            return frozenset(("silent",))
        return frozenset(("sounding", "first" if self.voice.start == 0 else "last", self.voice.loudness))


@dataclass(frozen=True)
class Scene:
    """A video and its actors: in each second, thing i is actor i."""

    actors: tuple[Actor, ...]
    video: Video


def random_scene(rng: np.random.Generator, categories: Sequence[str]) -> Scene:
    """Return a random scene of two of these categories."""
    twin, single = (str(name) for name in rng.choice(categories, 2, replace=False))
    looks = ((twin, "small"), (twin, "large"), (single, any_of(rng, tuple(SIZES))))
    turn, (first, last) = any_of(rng, _TURNS), any_of(rng, (("loud", "quiet"), ("quiet", "loud")))
    voices = (Voice(0, turn, first), Voice(turn, SECONDS, last), None)
    cast = []
    for index, voice in zip(rng.permutation(3), voices, strict=True):
        category, size = looks[int(index)]
        cast.append(Actor(category, size, voice))
    actors = tuple(cast[index] for index in rng.permutation(3))
    return Scene(actors, Video(tuple(_moment(rng, actors, second) for second in range(SECONDS)), "", 0, SECONDS))


def _moment(rng: np.random.Generator, actors: Sequence[Actor], second: int) -> Moment:
    """Return one second, in which each thing is in a random quarter of the picture."""
    things = [_thing(rng, actor, int(cell)) for actor, cell in zip(actors, rng.permutation(4)[:3], strict=True)]
    speaking = [(actor, voice) for actor in actors if (voice := actor.voice) and voice.start <= second < voice.end]
    return Moment(
        things=tuple(things),
        visible=tuple(actor.category for actor in actors),
        sources=tuple(_source(rng, actor, voice) for actor, voice in speaking),
        audible=tuple(actor.category for actor, _ in speaking),
        background=background(rng, _CLUTTER, _GRAIN),
        hum=float(rng.uniform(0, _HUM)),
    )


def _thing(rng: np.random.Generator, actor: Actor, cell: int) -> Thing:
    shape, texture, _ = CLASSES[actor.category]
    diameter = float(rng.uniform(*SIZES[actor.size]))
    row, column = divmod(cell, 2)
    room = (_CELL - diameter) / 2
    hue = 360 * list(CLASSES).index(actor.category) / len(CLASSES)
    return Thing(
        shape=shape,
        texture=texture if rng.random() < _TYPICAL_TEXTURE else str(rng.choice(TEXTURES)),
        colors=(color(rng, hue, _HUE_SPREAD, _SATURATION), gray(rng)),
        size=diameter,
        x=float((column + 0.5) * _CELL + rng.uniform(-room, room)),
        y=float((row + 0.5) * _CELL + rng.uniform(-room, room)),
        angle=float(rng.uniform(-0.6, 0.6)),
    )


def _source(rng: np.random.Generator, actor: Actor, voice: Voice) -> Source:
    return Source(
        timbre=CLASSES[actor.category][2],
        pitch=float(rng.uniform(*PITCHES[actor.size])),
        loudness=float(rng.uniform(*LOUDNESS[voice.loudness])),
        seed=int(rng.integers(2**31)),
    )


MANNERS: dict[str, str] = {
    "sounding": "the {} that sounds",
    "silent": "the silent {}",
    "first": "the {} that sounds first",
    "last": "the {} that sounds last",
    "loud": "the loud {}",
    "quiet": "the quiet {}",
}
"""Each manner in words; `{}` is a noun."""
THINGS = ("thing", "object")
_NAMED = 0.2  # share of the expressions for one of two things of a category that name it


@dataclass(frozen=True)
class Reference:
    """The meaning of an expression: a manner, and a category; None for any."""

    manner: str
    category: str | None = None

    def referents(self, actors: Sequence[Actor]) -> list[int]:
        """Return the numbers of the actors that it may mean."""
        return [
            number
            for number, actor in enumerate(actors)
            if self.category in (None, actor.category) and self.manner in actor.manners
        ]

    def word(self, rng: np.random.Generator) -> str:
        """Return it in words."""
        return MANNERS[self.manner].format(any_of(rng, NOUNS[self.category] if self.category else THINGS))


def refer(rng: np.random.Generator, actors: Sequence[Actor], number: int) -> Reference:
    """Return a random reference to an actor and no other."""
    category = actors[number].category
    twins = sum(actor.category == category for actor in actors) > 1
    named = category if twins and rng.random() < _NAMED else None
    candidates = [Reference(manner, named) for manner in MANNERS if manner in actors[number].manners]
    return any_of(rng, [candidate for candidate in candidates if candidate.referents(actors) == [number]])


def refer_to_nothing(rng: np.random.Generator, actors: Sequence[Actor], categories: Sequence[str]) -> Reference:
    """Return a random reference to nothing in a scene.

    It names a category that is silent, or out of sight, as one that sounds, or one that sounds as silent. In half of
    the cases the category is visible.
    """
    visible = {actor.category for actor in actors}
    silent = {name for name in visible if not any(actor.voice for actor in actors if actor.category == name)}
    sounding = {name for name in visible if all(actor.voice for actor in actors if actor.category == name)}
    contradicted = [Reference("silent", name) for name in sorted(sounding)] + [
        Reference(manner, name) for name in sorted(silent) for manner in MANNERS if manner != "silent"
    ]
    if rng.random() < 0.5:
        return any_of(rng, contradicted)
    return Reference(any_of(rng, tuple(MANNERS)), any_of(rng, [name for name in categories if name not in visible]))
