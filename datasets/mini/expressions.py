"""Which expressions are found for an object of a scene, in the manner of each data set.

RefCOCO's are short and often name a place; RefCOCO+'s name none; RefCOCOg's are longer and relate objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.datasets.mini.phrase import DIRECTIONS, Kind, Phrase, refers
from bench.datasets.mini.scene import Item, Scene
from bench.datasets.mini.wording import any_of, word, word_at_length

_TRIES = 12  # for a phrase as a manner asks for, before one of appearance alone is taken


@dataclass(frozen=True)
class Manner:
    """How people of a data set refer: how often by a place, how often by relations, and with what words."""

    places: float
    relations: float
    say: Callable[[np.random.Generator, Phrase], str]


MANNERS = {
    "refcoco": Manner(places=0.6, relations=0.15, say=word),
    "refcoco+": Manner(places=0.0, relations=0.0, say=word),
    "refcocog": Manner(places=0.0, relations=0.8, say=word_at_length),
}


def expressions(rng: np.random.Generator, scene: Scene, item: Item, manner: Manner, count: int) -> list[str]:
    """Up to `count` different expressions, one at least, each of which means this object of the scene alone."""
    return list(dict.fromkeys(manner.say(rng, find_phrase(rng, scene, item, manner)) for _ in range(count)))


def find_phrase(rng: np.random.Generator, scene: Scene, item: Item, manner: Manner) -> Phrase:
    """Return a phrase that means this object of the scene alone."""
    by = rng.random()
    if by < manner.places + manner.relations:
        for _ in range(_TRIES):
            kind = _some_of(rng, item, share=0.3)
            if by < manner.places:
                phrase = Phrase(kind, places=random_places(rng))
            else:
                phrase = Phrase(kind, relations=random_relations(rng, scene, item))
            if refers(phrase, scene, item):
                return phrase
    return Phrase(find_kind(rng, scene, item))


def find_kind(rng: np.random.Generator, scene: Scene, item: Item) -> Kind:
    """Return a kind that this object of the scene alone is of. The longer one is looked for, the more is told of it."""
    for attempt in range(_TRIES):
        kind = _some_of(rng, item, share=0.3 + 0.7 * attempt / _TRIES)
        if refers(Phrase(kind), scene, item):
            return kind
    return Kind(*item.look)


def _some_of(rng: np.random.Generator, item: Item, share: float) -> Kind:
    """Some of what an object is like: its category mostly, colour and size as often as said, texture less often."""
    shares = (max(0.85, share), share, share, share * share)
    return Kind(*(word if rng.random() < often else None for word, often in zip(item.look, shares, strict=True)))


def random_places(rng: np.random.Generator) -> tuple[str, ...]:
    """Return a side of the picture, its middle or a corner."""
    if rng.random() < 0.2:
        return (any_of(rng, ("top", "bottom")), any_of(rng, ("left", "right")))
    return ("middle",) if rng.random() < 0.15 else (any_of(rng, DIRECTIONS),)


def random_relations(rng: np.random.Generator, scene: Scene, item: Item) -> tuple[tuple[str, Kind], ...]:
    """Return the object in a direction, by chance, from another object, or now and then two."""
    others = [other for other in scene.items if other is not item]
    first = int(rng.random() * len(others))
    anchors = [others[first], others[first - 1]][: 2 if rng.random() < 0.3 else 1]
    return tuple((any_of(rng, DIRECTIONS), find_kind(rng, scene, anchor)) for anchor in anchors)
