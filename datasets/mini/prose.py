"""Texts about scenes that nobody sees: what a text encoder is pretrained on.

A text says several things of one scene, so that words that mean the same stand in the same company: expressions for one
object, what it looks like, where it is, what lies beside it.
"""

from __future__ import annotations

import numpy as np

from bench.datasets.mini.expressions import MANNERS, find_kind, find_phrase, random_places, random_relations
from bench.datasets.mini.phrase import Kind, Phrase, refers
from bench.datasets.mini.scene import Item, Scene
from bench.datasets.mini.wording import any_of, named, state, with_a

MOST_WORDS = 38  # 40 tokens with the two special ones
_SENTENCES = 4  # at most


def passage(rng: np.random.Generator, scene: Scene) -> str:
    """One to four sentences of a scene, of at most MOST_WORDS words in all, each ended by a full stop set apart."""
    item = any_of(rng, scene.items)
    said: list[str] = []
    for _ in range(1 + int(rng.random() * _SENTENCES)):
        sentence = f"{_sentence(rng, scene, item)} ."
        if len(" ".join([*said, sentence]).split()) > MOST_WORDS:
            break
        said.append(sentence)
        if rng.random() < 0.25:
            item = any_of(rng, scene.items)
    return " ".join(said)


def _sentence(rng: np.random.Generator, scene: Scene, item: Item) -> str:
    """Return an expression for the object, or something that is true of it, or a list of what there is."""
    chance = rng.random()
    if chance < 0.5:
        manner = any_of(rng, list(MANNERS.values()))
        return manner.say(rng, find_phrase(rng, scene, item, manner))
    if chance < 0.6:
        count = 2 + int(rng.random() * 2)
        *most, last = (with_a(named(rng, Kind(*one.look))) for one in scene.items[:count])
        return f"there is {', '.join(most)} and {last}"
    return state(rng, find_kind(rng, scene, item), _fact(rng, scene, item))


def _fact(rng: np.random.Generator, scene: Scene, item: Item) -> Phrase:
    """Return what is true of the object alone: where it is, how it lies to others, or else what it looks like."""
    for _ in range(3):
        for phrase in (
            Phrase(Kind(), places=random_places(rng)),
            Phrase(Kind(), relations=random_relations(rng, scene, item)),
        ):
            if refers(phrase, scene, item):
                return phrase
    return Phrase(Kind(*item.look))
