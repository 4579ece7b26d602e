"""Words for phrases: a small subset of English, with synonyms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from bench.datasets.scenes import wording
from bench.datasets.scenes.phrase import Phrase
from bench.datasets.scenes.wording import PLACE_ADJECTIVES, PLACE_PHRASES, RELATIONS, any_of, location

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
OTHER_WORDS = ("the", "a", "an", "that", "which", "is", "and", "corner", "there", ".", ",")


class Kind(NamedTuple):
    """The look of an object; None for anything unspecified."""

    category: str | None = None
    color: str | None = None
    size: str | None = None
    texture: str | None = None


def vocabulary() -> list[str]:
    """Return every word that an expression or a description can contain, sorted."""
    places = (PLACE_ADJECTIVES, PLACE_PHRASES, RELATIONS)
    tables: tuple[Mapping[str, tuple[str, ...]], ...] = (NOUNS, COLORS, SIZES, TEXTURES, *places)
    wordings = [wording for table in tables for choices in table.values() for wording in choices]
    return sorted({word for wording in (*wordings, *THINGS, *OTHER_WORDS) for word in wording.split()})


def word_at_length(rng: np.random.Generator, phrase: Phrase) -> str:
    """Put a phrase into a longer form: "the red ring that is small and above the star with dots"."""
    clause_names = [name for name in _ADJECTIVES if rng.random() < 0.4]
    kind = Kind(*phrase.kind)
    clause_kind = Kind(**{name: getattr(kind, name) for name in clause_names})
    name = named(rng, kind._replace(**dict.fromkeys(clause_names)))
    start = any_of(rng, (f"the {name}", with_a(name)))
    clause = " and ".join(_predicate(rng, replace(phrase, kind=clause_kind)))
    return f"{start} {any_of(rng, ('that', 'which'))} is {clause}" if clause else start


def state(rng: np.random.Generator, kind: tuple[str | None, ...], phrase: Phrase) -> str:
    """State a phrase about the object of a kind: "the small star is red and below the ring"."""
    return f"the {named(rng, kind)} is {' and '.join(_predicate(rng, phrase))}"


def with_a(name: str) -> str:
    """Return a name with the indefinite article."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def named(rng: np.random.Generator, look: tuple[str | None, ...]) -> str:
    """Return a kind as adjectives and a noun; a texture may follow the noun."""
    kind = Kind(*look)
    adjectives = [any_of(rng, SIZES[kind.size])] if kind.size else []
    adjectives += [any_of(rng, COLORS[kind.color])] if kind.color else []
    noun = any_of(rng, NOUNS[kind.category] if kind.category else THINGS)
    if not kind.texture:
        return " ".join([*adjectives, noun])
    texture = any_of(rng, TEXTURES[kind.texture])
    return " ".join([*adjectives, noun, texture] if texture.startswith("with") else [*adjectives, texture, noun])


def _predicate(rng: np.random.Generator, phrase: Phrase) -> list[str]:
    """Return everything that can follow "is": adjectives, relations, a place."""
    synonyms = [table[value] for name, table in _ADJECTIVES.items() if (value := getattr(Kind(*phrase.kind), name))]
    adjectives = [any_of(rng, [text for text in choices if " " not in text]) for choices in synonyms]
    return adjectives + location(rng, phrase, named)


word = partial(wording.word, named=named)
"""Puts a phrase into few words: "left ring", "the small red ring above the blue star"."""
