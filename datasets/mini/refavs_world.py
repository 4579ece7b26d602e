"""Scenes and expressions of Ref-AVS in the small world: things that look alike, and of which several sound.

A video shows four things: two kinds of things, each in the same two colors. Things of a kind make the same sound, that
of their kind. Either both kinds sound, one after the other, one loudly and one quietly; or only one kind does.

An expression names a color, and how the thing that it means sounds: "the red one that sounds first", "the silent blue
thing". Words tell the color and what to listen for; hearing tells which kind sounds so; sight tells where the thing of
this kind and color is. Without any of the three at least two things remain. Expressions never name a kind or a place:
that would make hearing or sight dispensable.

Few relations with large cues can be learned from some hundred expressions: what a kind looks and sounds like is what
the other tasks of this world teach, and the colors are those of the grounding tasks. Every second is a new shot, so
that few videos are not few pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.datasets.mini.colors import background, color, gray
from bench.datasets.mini.draw import Thing
from bench.datasets.mini.scene import HUES
from bench.datasets.mini.sound import Source
from bench.datasets.mini.wording import COLORS
from bench.datasets.mini.world import CLASSES, Moment, Video
from bench.datasets.scenes.wording import any_of

FAMILIAR = ("Disc", "Ring", "Star, five points", "Triangle")
NOVEL = ("Heart", "Square")
"""Categories of `test_u` only, where a familiar one is beside them. The encoders were pretrained on them, each in one
modality; that the familiar one sounds otherwise tells which of them is heard."""
COLORED = ("red", "yellow", "green", "blue")

SECONDS = 10
SIZES = (0.40, 0.44)  # diameters, as shares of the picture's side
PITCHES = (150.0, 600.0)  # Hz
LOUDNESS = {"loud": (0.16, 0.22), "quiet": (0.03, 0.04)}  # root mean squares
_TURNS = (4, 5, 6)  # the second in which the second kind begins to sound
_SHARE_OF_TURNS = 0.4  # of the scenes: both kinds sound
_CELL = 0.5  # side of the quarter of a picture in which a thing is
_HUE_SPREAD = 6  # degrees
_SATURATION = (0.8, 1.0)
_CLUTTER, _GRAIN, _HUM = 0, 4.0, 0.004


@dataclass(frozen=True)
class Voice:
    """How a thing sounds: from second `start` to before second `end`, "loud" or "quiet"."""

    start: int
    end: int
    loudness: str


@dataclass(frozen=True)
class Actor:
    """A thing throughout a video: its category, its color (one of `COLORED`), its voice; None if it is silent."""

    category: str
    color: str
    voice: Voice | None

    @property
    def manners(self) -> frozenset[str]:
        """All that an expression may say of its sound: keys of `MANNERS`."""
        if self.voice is None:
            return frozenset(("silent",))
        if self.voice.end - self.voice.start == SECONDS:
            return frozenset(("sounding",))
        return frozenset(("first" if self.voice.start == 0 else "last", self.voice.loudness))


@dataclass(frozen=True)
class Scene:
    """A video and its actors: in each second, thing i is actor i."""

    actors: tuple[Actor, ...]
    video: Video


def random_scene(rng: np.random.Generator, novel: bool = False) -> Scene:
    """Return a random scene of two familiar categories, or of a novel and a familiar one."""
    kinds = [str(name) for name in rng.choice(FAMILIAR, 2, replace=False)]
    if novel:
        kinds[int(rng.integers(2))] = any_of(rng, NOVEL)
    colors = [str(name) for name in rng.choice(COLORED, 2, replace=False)]
    loudness = any_of(rng, (("loud", "quiet"), ("quiet", "loud")))
    if rng.random() < _SHARE_OF_TURNS:
        turn = any_of(rng, _TURNS)
        voices: tuple[Voice | None, ...] = (Voice(0, turn, loudness[0]), Voice(turn, SECONDS, loudness[1]))
    else:
        voices = (Voice(0, SECONDS, loudness[0]), None)
    cast = [Actor(kind, name, voice) for (kind, voice), name in product(zip(kinds, voices, strict=True), colors)]
    actors = tuple(cast[index] for index in rng.permutation(len(cast)))
    return Scene(actors, Video(tuple(_moment(rng, actors, second) for second in range(SECONDS)), "", 0, SECONDS))


def _moment(rng: np.random.Generator, actors: Sequence[Actor], second: int) -> Moment:
    """Return one second, in which each thing is in a random quarter of the picture."""
    things = [_thing(rng, actor, int(cell)) for actor, cell in zip(actors, rng.permutation(4), strict=True)]
    voices = {a.category: v for a in actors if (v := a.voice) and v.start <= second < v.end}
    return Moment(
        things=tuple(things),
        visible=tuple(actor.category for actor in actors),
        sources=tuple(_source(rng, category, voice) for category, voice in voices.items()),
        audible=tuple(voices),
        background=background(rng, _CLUTTER, _GRAIN),
        hum=float(rng.uniform(0, _HUM)),
    )


def _thing(rng: np.random.Generator, actor: Actor, cell: int) -> Thing:
    shape, texture, _ = CLASSES[actor.category]
    diameter = float(rng.uniform(*SIZES))
    row, column = divmod(cell, 2)
    room = (_CELL - diameter) / 2
    return Thing(
        shape=shape,
        texture=texture,
        colors=(color(rng, HUES[actor.color], _HUE_SPREAD, _SATURATION), gray(rng)),
        size=diameter,
        x=float((column + 0.5) * _CELL + rng.uniform(-room, room)),
        y=float((row + 0.5) * _CELL + rng.uniform(-room, room)),
        angle=float(rng.uniform(-0.6, 0.6)),
    )


def _source(rng: np.random.Generator, category: str, voice: Voice) -> Source:
    low, high = np.log(PITCHES)
    return Source(
        timbre=CLASSES[category][2],
        pitch=float(np.exp(rng.uniform(low, high))),
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
    """Return a random reference to nothing in a scene: of a color that is not there, or of a sound that is not."""
    colors = sorted({actor.color for actor in actors})
    manners = {manner for actor in actors for manner in actor.manners}
    if rng.random() < 0.5:
        loudness = next(actor.voice.loudness for actor in actors if actor.voice)
        # Where one kind sounds throughout, there is neither a first nor a last; "sounding" fits what sounds by turns.
        absent = "silent" if "first" in manners else "quiet" if loudness == "loud" else "loud"
        return Reference(absent, any_of(rng, colors))
    missing = [name for name in COLORED if name not in colors]
    return Reference(any_of(rng, [manner for manner in MANNERS if manner in manners]), any_of(rng, missing))
