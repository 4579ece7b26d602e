"""Words for phrases: those for places and relations, which are the same in every world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from bench.datasets.scenes.phrase import Kind, Phrase

T = TypeVar("T")
Named = Callable[[np.random.Generator, Kind], str]
"""Puts a kind into adjectives and a noun, without an article."""

# Synonyms are chosen at random.
PLACE_ADJECTIVES = {
    "left": ("left",),
    "right": ("right",),
    "top": ("top",),
    "bottom": ("bottom",),
    "middle": ("middle", "center"),
}
PLACE_PHRASES = {
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "top": ("at the top", "on top"),
    "bottom": ("at the bottom",),
    "middle": ("in the middle", "in the center"),
}
RELATIONS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "top": ("above", "over"),
    "bottom": ("below", "under"),
}


def word(rng: np.random.Generator, phrase: Phrase, named: Named) -> str:
    """Put a phrase into few words: "left ring", "the small red ring above the blue star".

    Args:
        rng: Chooses among synonyms.
        phrase: The phrase.
        named: The world's words for a kind.
    """
    name = named(rng, phrase.kind)
    if phrase.places and rng.random() < 0.5:
        name = f"{_place_adjectives(rng, phrase.places)} {name}"
        phrase = replace(phrase, places=())
    ending = " and ".join(location(rng, phrase, named))
    return " ".join(part for part in (any_of(rng, ("the", "")), name, ending) if part)


def location(rng: np.random.Generator, phrase: Phrase, named: Named) -> list[str]:
    """Return relations and a place, as they follow a noun."""
    parts = [f"{any_of(rng, RELATIONS[direction])} the {named(rng, anchor)}" for direction, anchor in phrase.relations]
    if len(phrase.places) == 1:
        parts.append(any_of(rng, PLACE_PHRASES[phrase.places[0]]))
    elif phrase.places:
        parts.append(f"in the {_place_adjectives(rng, phrase.places)} corner")
    return parts


def _place_adjectives(rng: np.random.Generator, places: Sequence[str]) -> str:
    return " ".join(any_of(rng, PLACE_ADJECTIVES[place]) for place in places)


def any_of(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return a random one of the choices."""
    return choices[int(rng.random() * len(choices))]  # several times as fast as rng.choice
