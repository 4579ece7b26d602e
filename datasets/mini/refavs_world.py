"""Scenes and expressions of Ref-AVS in the small world: things that look alike, and of which several sound.

A video shows four things of one kind. What a thing is made of can be seen, as its texture, and heard, as its timbre.
Three things have the same color and differ in material: one of them sounds first, another one last, and the third is
silent. The fourth has another color and the material of one of them. In some videos, the solos, two materials come in
two colors each, and only one of them sounds, throughout.

An expression names a color, and how the thing that it means sounds: "the red one that sounds first", "the silent blue
thing". Words tell the color and what to listen for; hearing tells which material sounds so; sight tells where the thing
of this material and color is. Without any of the three at least two things remain, mostly three. Expressions never name
a kind, a material or a place: that would make hearing or sight dispensable.

How materials look and sound can be learned from some hundred expressions, the more so from those of solos, where the
order of sounds does not matter. It holds for kinds that training does not show. Every second is a new shot, so that few
videos are not few pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from bench.datasets.mini.colors import background, color, gray
from bench.datasets.mini.draw import Thing
from bench.datasets.mini.scene import HUES
from bench.datasets.mini.sound import Source
from bench.datasets.mini.wording import COLORS
from bench.datasets.mini.world import CLASSES, Moment, Video
from bench.datasets.scenes.wording import any_of

FAMILIAR = ("Crescent", "Cross", "Disc", "Triangle")
NOVEL = ("Heart", "Square")
"""Kinds of `test_u` only. They are made of the same materials."""
MATERIALS = {"checks": "reed", "dots": "pluck", "grid": "rattle"}
"""Textures with the timbres of what has them: those of a square, a heart and a cross elsewhere in this world."""
COLORED = ("red", "yellow", "green", "blue")

SECONDS = 10
SIZES = (0.42, 0.46)  # diameters, as shares of the picture's side
PITCHES = (150.0, 600.0)  # Hz
LOUDNESS = (0.10, 0.20)  # root mean squares
_TURNS = (4, 5, 6)  # the second in which the second material begins to sound
_SHARE_OF_SOLOS = 0.3  # of the scenes: only one material sounds
_CELL = 0.5  # side of the quarter of a picture in which a thing is
_HUE_SPREAD = 6  # degrees
_SATURATION = (0.8, 1.0)
_CLUTTER, _GRAIN, _HUM = 0, 4.0, 0.004


@dataclass(frozen=True)
class Voice:
    """When a thing sounds: from second `start` to before second `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class Actor:
    """A thing throughout a video: its kind, material (of `MATERIALS`), color (of `COLORED`), and voice if it sounds."""

    category: str
    material: str
    color: str
    voice: Voice | None

    @property
    def manners(self) -> frozenset[str]:
        """All that an expression may say of its sound: keys of `MANNERS`."""
        if self.voice is None:
            return frozenset(("silent",))
        if self.voice.end - self.voice.start == SECONDS:
            return frozenset(("sounding",))
        return frozenset(("first" if self.voice.start == 0 else "last",))


@dataclass(frozen=True)
class Scene:
    """A video and its actors: in each second, thing i is actor i."""

    actors: tuple[Actor, ...]
    video: Video


def random_scene(rng: np.random.Generator, novel: bool = False) -> Scene:
    """Return a random scene of things of a familiar kind, or of a novel one."""
    kind = any_of(rng, NOVEL if novel else FAMILIAR)
    materials = [str(name) for name in rng.permutation(list(MATERIALS))]
    looks = [str(name) for name in rng.choice(COLORED, 2, replace=False)]
    if rng.random() < _SHARE_OF_SOLOS:
        solo = {materials[0]: Voice(0, SECONDS), materials[1]: None}
        cast = [Actor(kind, material, look, voice) for (material, voice), look in product(solo.items(), looks)]
    else:
        turn = any_of(rng, _TURNS)
        voices = (Voice(0, turn), Voice(turn, SECONDS), None)
        cast = [Actor(kind, material, looks[0], voice) for material, voice in zip(materials, voices, strict=True)]
        cast.append(replace(any_of(rng, cast), color=looks[1]))
    actors = tuple(cast[index] for index in rng.permutation(len(cast)))
    return Scene(actors, Video(tuple(_moment(rng, actors, second) for second in range(SECONDS)), "", 0, SECONDS))


def _moment(rng: np.random.Generator, actors: Sequence[Actor], second: int) -> Moment:
    """Return one second, in which each thing is in a random quarter of the picture."""
    things = [_thing(rng, actor, int(cell)) for actor, cell in zip(actors, rng.permutation(4), strict=True)]
    voices = dict.fromkeys(a.material for a in actors if (v := a.voice) and v.start <= second < v.end)
    return Moment(
        things=tuple(things),
        visible=tuple(actor.category for actor in actors),
        sources=tuple(_source(rng, material) for material in voices),
        audible=tuple(voices),
        background=background(rng, _CLUTTER, _GRAIN),
        hum=float(rng.uniform(0, _HUM)),
    )


def _thing(rng: np.random.Generator, actor: Actor, cell: int) -> Thing:
    diameter = float(rng.uniform(*SIZES))
    row, column = divmod(cell, 2)
    room = (_CELL - diameter) / 2
    return Thing(
        shape=CLASSES[actor.category][0],
        texture=actor.material,
        colors=(color(rng, HUES[actor.color], _HUE_SPREAD, _SATURATION), gray(rng)),
        size=diameter,
        x=float((column + 0.5) * _CELL + rng.uniform(-room, room)),
        y=float((row + 0.5) * _CELL + rng.uniform(-room, room)),
        angle=float(rng.uniform(-0.6, 0.6)),
    )


def _source(rng: np.random.Generator, material: str) -> Source:
    low, high = np.log(PITCHES)
    return Source(
        timbre=MATERIALS[material],
        pitch=float(np.exp(rng.uniform(low, high))),
        loudness=float(rng.uniform(*LOUDNESS)),
        seed=int(rng.integers(2**31)),
    )


def targets(actors: Sequence[Actor]) -> list[int]:
    """Return the numbers of the things that an expression can mean: all whose color is not theirs alone."""
    looks = [actor.color for actor in actors]
    return [number for number, look in enumerate(looks) if looks.count(look) > 1]


MANNERS: dict[str, str] = {
    "sounding": "the {} that sounds",
    "silent": "the silent {}",
    "first": "the {} that sounds first",
    "last": "the {} that sounds last",
}
"""Each manner in words; `{}` is a color and a noun."""
THINGS = ("one", "thing", "object")


@dataclass(frozen=True)
class Reference:
    """The meaning of an expression: a manner and a color."""

    manner: str
    color: str

    def referents(self, actors: Sequence[Actor]) -> list[int]:
        """Return the numbers of the actors that it may mean."""
        return [
            number for number, actor in enumerate(actors) if self.color == actor.color and self.manner in actor.manners
        ]

    def word(self, rng: np.random.Generator) -> str:
        """Return it in words."""
        return MANNERS[self.manner].format(f"{any_of(rng, COLORS[self.color])} {any_of(rng, THINGS)}")


def refer(rng: np.random.Generator, actors: Sequence[Actor], number: int) -> Reference:
    """Return a random reference to an actor and no other."""
    manners = [manner for manner in MANNERS if manner in actors[number].manners]
    return Reference(any_of(rng, manners), actors[number].color)


def refer_to_nothing(rng: np.random.Generator, actors: Sequence[Actor]) -> Reference:
    """Return a random reference to nothing in a scene, of a manner that is in it."""
    manners = [manner for manner in MANNERS if any(manner in actor.manners for actor in actors)]
    references = [Reference(manner, name) for manner, name in product(manners, COLORED)]
    return any_of(rng, [reference for reference in references if not reference.referents(actors)])
