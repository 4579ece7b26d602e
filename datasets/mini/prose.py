"""Texts about scenes that are never drawn, to pretrain text encoders on.

A text makes several statements about one scene, so that synonyms occur in the same contexts: expressions for an object,
its look, its place, its neighbors.
"""

from __future__ import annotations

import numpy as np

from bench.datasets.mini.expressions import MANNERS, part_of_look
from bench.datasets.mini.scene import Item, Scene
from bench.datasets.mini.wording import Kind, named, state, with_a
from bench.datasets.scenes.expressions import find_kind, find_phrase, random_places, random_relations
from bench.datasets.scenes.phrase import Phrase, refers
from bench.datasets.scenes.wording import any_of

MAX_WORDS = 38  # 40 tokens with the two special tokens
_SENTENCES = 4  # at most


def passage(rng: np.random.Generator, scene: Scene) -> str:
    """Return one to four sentences about a scene, at most MAX_WORDS words in all; " ." ends each sentence."""
    item = any_of(rng, scene.items)
    sentences: list[str] = []
    for _ in range(1 + int(rng.random() * _SENTENCES)):
        sentence = f"{_sentence(rng, scene, item)} ."
        if len(" ".join([*sentences, sentence]).split()) > MAX_WORDS:
            break
        sentences.append(sentence)
        if rng.random() < 0.25:
            item = any_of(rng, scene.items)
    return " ".join(sentences)


def _sentence(rng: np.random.Generator, scene: Scene, item: Item) -> str:
    """Return an expression for the object, a true statement about it, or a list of some of the scene's objects."""
    chance = rng.random()
    if chance < 0.5:
        manner = any_of(rng, list(MANNERS.values()))
        return manner.say(rng, find_phrase(rng, scene, item, manner))
    if chance < 0.6:
        count = 2 + int(rng.random() * 2)
        *names, last_name = (with_a(named(rng, Kind(*item.look))) for item in scene.items[:count])
        return f"there is {', '.join(names)} and {last_name}"
    return state(rng, find_kind(rng, scene, item, part_of_look), _fact(rng, scene, item))


def _fact(rng: np.random.Generator, scene: Scene, item: Item) -> Phrase:
    """Return a phrase that is true of this object only: its place, its relations to others, or else its look."""
    for _ in range(3):
        for phrase in (
            Phrase(Kind(), places=random_places(rng)),
            Phrase(Kind(), relations=random_relations(rng, scene, item, part_of_look)),
        ):
            if refers(phrase, scene, item):
                return phrase
    return Phrase(Kind(*item.look))
