"""Referring expressions for the objects of a scene, in a manner: the style of a data set and the words of a world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.datasets.scenes.phrase import DIRECTIONS, Item, Kind, Phrase, Scene, refers
from bench.datasets.scenes.wording import any_of

_TRIES = 12  # to find a phrase by place or relation, before falling back to appearance

Part = Callable[[np.random.Generator, Item, float], Kind]
"""Returns a random part of an object's look; each word of it is there with about the given probability."""


@dataclass(frozen=True)
class Manner:
    """How objects are referred to.

    Attributes:
        places: The share of expressions that name a place.
        relations: The share that relate the object to others.
        say: Puts a phrase into words.
        part: Returns what of an object's look to mention.
    """

    places: float
    relations: float
    say: Callable[[np.random.Generator, Phrase], str]
    part: Part


def expressions(rng: np.random.Generator, scene: Scene, item: Item, manner: Manner, count: int) -> list[str]:
    """Return 1 to `count` different expressions, each of which refers to this object only."""
    return list(dict.fromkeys(manner.say(rng, find_phrase(rng, scene, item, manner)) for _ in range(count)))


def find_phrase(rng: np.random.Generator, scene: Scene, item: Item, manner: Manner) -> Phrase:
    """Return a phrase that refers to this object only."""
    choice = rng.random()
    if choice < manner.places + manner.relations:
        for _ in range(_TRIES):
            kind = manner.part(rng, item, 0.3)
            if choice < manner.places:
                phrase = Phrase(kind, places=random_places(rng))
            else:
                phrase = Phrase(kind, relations=random_relations(rng, scene, item, manner.part))
            if refers(phrase, scene, item):
                return phrase
    return Phrase(find_kind(rng, scene, item, manner.part))


def find_kind(rng: np.random.Generator, scene: Scene, item: Item, part: Part) -> Kind:
    """Return a kind that fits this object only; each further attempt specifies more of its look."""
    for attempt in range(_TRIES):
        kind = part(rng, item, 0.3 + 0.7 * attempt / _TRIES)
        if refers(Phrase(kind), scene, item):
            return kind
    return item.look


def random_places(rng: np.random.Generator) -> tuple[str, ...]:
    """Return a random place: a side of the picture, its middle, or a corner (two sides)."""
    if rng.random() < 0.2:
        return (any_of(rng, ("top", "bottom")), any_of(rng, ("left", "right")))
    return ("middle",) if rng.random() < 0.15 else (any_of(rng, DIRECTIONS),)


def random_relations(rng: np.random.Generator, scene: Scene, item: Item, part: Part) -> tuple[tuple[str, Kind], ...]:
    """Return random relations, true or not, of an object to one or two other objects."""
    candidates = [candidate for candidate in scene.items if candidate is not item]
    first = int(rng.random() * len(candidates))
    anchors = [candidates[first], candidates[first - 1]][: 2 if rng.random() < 0.3 else 1]
    return tuple((any_of(rng, DIRECTIONS), find_kind(rng, scene, anchor, part)) for anchor in anchors)
