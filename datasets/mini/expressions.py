"""Referring expressions for the objects of a scene, in the style of each data set.

RefCOCO's are short and often name a place; RefCOCO+'s never do; RefCOCOg's are longer and relate objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.datasets.mini.phrase import DIRECTIONS, Kind, Phrase, refers
from bench.datasets.mini.scene import Item, Scene
from bench.datasets.mini.wording import any_of, word, word_at_length

_TRIES = 12  # to find a phrase by place or relation, before falling back to appearance


@dataclass(frozen=True)
class Manner:
    """The style of a data set's expressions.

    Attributes:
        places: The share of expressions that name a place.
        relations: The share that relate the object to others.
        say: Puts a phrase into words.
    """

    places: float
    relations: float
    say: Callable[[np.random.Generator, Phrase], str]


MANNERS = {
    "refcoco": Manner(places=0.6, relations=0.15, say=word),
    "refcoco+": Manner(places=0.0, relations=0.0, say=word),
    "refcocog": Manner(places=0.0, relations=0.8, say=word_at_length),
}


def expressions(rng: np.random.Generator, scene: Scene, item: Item, manner: Manner, count: int) -> list[str]:
    """Return 1 to `count` different expressions, each of which refers to this object only."""
    return list(dict.fromkeys(manner.say(rng, find_phrase(rng, scene, item, manner)) for _ in range(count)))


def find_phrase(rng: np.random.Generator, scene: Scene, item: Item, manner: Manner) -> Phrase:
    """Return a phrase that refers to this object only."""
    choice = rng.random()
    if choice < manner.places + manner.relations:
        for _ in range(_TRIES):
            kind = _partial_look(rng, item, share=0.3)
            if choice < manner.places:
                phrase = Phrase(kind, places=random_places(rng))
            else:
                phrase = Phrase(kind, relations=random_relations(rng, scene, item))
            if refers(phrase, scene, item):
                return phrase
    return Phrase(find_kind(rng, scene, item))


def find_kind(rng: np.random.Generator, scene: Scene, item: Item) -> Kind:
    """Return a kind that fits this object only; each further attempt specifies more of its look."""
    for attempt in range(_TRIES):
        kind = _partial_look(rng, item, share=0.3 + 0.7 * attempt / _TRIES)
        if refers(Phrase(kind), scene, item):
            return kind
    return Kind(*item.look)


def _partial_look(rng: np.random.Generator, item: Item, share: float) -> Kind:
    """Return part of an object's look: mostly its category, color and size with probability `share`, texture less."""
    shares = (max(0.85, share), share, share, share * share)
    return Kind(*(word if rng.random() < often else None for word, often in zip(item.look, shares, strict=True)))


def random_places(rng: np.random.Generator) -> tuple[str, ...]:
    """Return a random place: a side of the picture, its middle, or a corner (two sides)."""
    if rng.random() < 0.2:
        return (any_of(rng, ("top", "bottom")), any_of(rng, ("left", "right")))
    return ("middle",) if rng.random() < 0.15 else (any_of(rng, DIRECTIONS),)


def random_relations(rng: np.random.Generator, scene: Scene, item: Item) -> tuple[tuple[str, Kind], ...]:
    """Return random relations, true or not, of an object to one or two other objects."""
    candidates = [candidate for candidate in scene.items if candidate is not item]
    first = int(rng.random() * len(candidates))
    anchors = [candidates[first], candidates[first - 1]][: 2 if rng.random() < 0.3 else 1]
    return tuple((any_of(rng, DIRECTIONS), find_kind(rng, scene, anchor)) for anchor in anchors)
