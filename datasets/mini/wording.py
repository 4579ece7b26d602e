"""Words for phrases: a small subset of English, with synonyms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from bench.datasets.mini.phrase import Kind, Phrase

T = TypeVar("T")

# Synonyms are chosen at random.
NOUNS: dict[str, tuple[str, ...]] = {
    "Crescent": ("crescent", "moon"),
    "Cross": ("cross", "plus"),
    "Disc": ("disc", "circle"),
    "Heart": ("heart",),
    "Ring": ("ring", "hoop"),
    "Square": ("square", "block"),
    "Star, five points": ("star",),
    "Triangle": ("triangle",),
}
THINGS = ("one", "object", "thing", "shape")
COLORS = {
    "red": ("red",),
    "yellow": ("yellow",),
    "green": ("green",),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
}
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big")}
TEXTURES = {
    "plain": ("plain",),
    "striped": ("striped", "with stripes"),
    "dotted": ("dotted", "spotted", "with dots"),
    "checked": ("checked", "checkered", "with checks"),
}
_ADJECTIVES = {"size": SIZES, "color": COLORS, "texture": TEXTURES}
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
OTHER_WORDS = ("the", "a", "an", "that", "which", "is", "and", "corner", "there", ".", ",")


def vocabulary() -> list[str]:
    """Return every word that an expression or a description can contain, sorted."""
    places = (PLACE_ADJECTIVES, PLACE_PHRASES, RELATIONS)
    tables: tuple[Mapping[str, tuple[str, ...]], ...] = (NOUNS, COLORS, SIZES, TEXTURES, *places)
    wordings = [wording for table in tables for choices in table.values() for wording in choices]
    return sorted({word for wording in (*wordings, *THINGS, *OTHER_WORDS) for word in wording.split()})


def word(rng: np.random.Generator, phrase: Phrase) -> str:
    """Put a phrase into few words: "left ring", "the small red ring above the blue star"."""
    name = named(rng, phrase.kind)
    if phrase.places and rng.random() < 0.5:
        name = f"{_place_adjectives(rng, phrase.places)} {name}"
        phrase = replace(phrase, places=())
    location = " and ".join(_location(rng, phrase))
    return " ".join(part for part in (any_of(rng, ("the", "")), name, location) if part)


def word_at_length(rng: np.random.Generator, phrase: Phrase) -> str:
    """Put a phrase into a longer form: "the red ring that is small and above the star with dots"."""
    clause_names = [name for name in _ADJECTIVES if rng.random() < 0.4]
    clause_kind = Kind(**{name: getattr(phrase.kind, name) for name in clause_names})
    name = named(rng, phrase.kind._replace(**dict.fromkeys(clause_names)))
    start = any_of(rng, (f"the {name}", with_a(name)))
    clause = " and ".join(_predicate(rng, replace(phrase, kind=clause_kind)))
    return f"{start} {any_of(rng, ('that', 'which'))} is {clause}" if clause else start


def state(rng: np.random.Generator, kind: Kind, phrase: Phrase) -> str:
    """State a phrase about the object of a kind: "the small star is red and below the ring"."""
    return f"the {named(rng, kind)} is {' and '.join(_predicate(rng, phrase))}"


def with_a(name: str) -> str:
    """Return a name with the indefinite article."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def named(rng: np.random.Generator, kind: Kind) -> str:
    """Return a kind as adjectives and a noun; a texture may follow the noun."""
    adjectives = [any_of(rng, SIZES[kind.size])] if kind.size else []
    adjectives += [any_of(rng, COLORS[kind.color])] if kind.color else []
    noun = any_of(rng, NOUNS[kind.category] if kind.category else THINGS)
    if not kind.texture:
        return " ".join([*adjectives, noun])
    texture = any_of(rng, TEXTURES[kind.texture])
    return " ".join([*adjectives, noun, texture] if texture.startswith("with") else [*adjectives, texture, noun])


def _predicate(rng: np.random.Generator, phrase: Phrase) -> list[str]:
    """Return everything that can follow "is": adjectives, relations, a place."""
    synonyms = [table[value] for name, table in _ADJECTIVES.items() if (value := getattr(phrase.kind, name))]
    adjectives = [any_of(rng, [text for text in choices if " " not in text]) for choices in synonyms]
    return adjectives + _location(rng, phrase)


def _location(rng: np.random.Generator, phrase: Phrase) -> list[str]:
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
