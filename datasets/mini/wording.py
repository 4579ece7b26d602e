"""Words for phrases: a small English with synonyms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from bench.datasets.mini.phrase import Kind, Phrase

T = TypeVar("T")

# Where there are several words for a thing, any will do.
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
COLOURS = {
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
_ADJECTIVES = {"size": SIZES, "colour": COLOURS, "texture": TEXTURES}
BEFORE = {
    "left": ("left",),
    "right": ("right",),
    "top": ("top",),
    "bottom": ("bottom",),
    "middle": ("middle", "center"),
}
AFTER = {
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "top": ("at the top", "on top"),
    "bottom": ("at the bottom",),
    "middle": ("in the middle", "in the center"),
}
FROM = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "top": ("above", "over"),
    "bottom": ("below", "under"),
}
OTHER_WORDS = ("the", "a", "an", "that", "which", "is", "and", "corner", "there", ".", ",")


def vocabulary() -> list[str]:
    """Return every word that an expression or a description can hold, each once."""
    tables: tuple[Mapping[str, tuple[str, ...]], ...] = (NOUNS, COLOURS, SIZES, TEXTURES, BEFORE, AFTER, FROM)
    wordings = [wording for table in tables for choices in table.values() for wording in choices]
    return sorted({word for wording in (*wordings, *THINGS, *OTHER_WORDS) for word in wording.split()})


def word(rng: np.random.Generator, phrase: Phrase) -> str:
    """Return a phrase in few words: "left ring", "the small red ring above the blue star"."""
    name = named(rng, phrase.kind)
    if phrase.places and rng.random() < 0.5:
        name = f"{_place_before(rng, phrase.places)} {name}"
        phrase = replace(phrase, places=())
    after = " and ".join(_lies(rng, phrase))
    return " ".join(part for part in (any_of(rng, ("the", "")), name, after) if part)


def word_at_length(rng: np.random.Generator, phrase: Phrase) -> str:
    """Return a phrase as a whole statement: "the red ring that is small and above the star with dots"."""
    later = [name for name in _ADJECTIVES if rng.random() < 0.4]
    said = Kind(**{name: getattr(phrase.kind, name) for name in later})
    name = named(rng, phrase.kind._replace(**dict.fromkeys(later)))
    start = any_of(rng, (f"the {name}", with_a(name)))
    after = " and ".join(_is(rng, replace(phrase, kind=said)))
    return f"{start} {any_of(rng, ('that', 'which'))} is {after}" if after else start


def state(rng: np.random.Generator, kind: Kind, phrase: Phrase) -> str:
    """Says of the object of a kind what the phrase says of one: "the small star is red and below the ring"."""
    return f"the {named(rng, kind)} is {' and '.join(_is(rng, phrase))}"


def with_a(name: str) -> str:
    """Return the name with the indefinite article."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def named(rng: np.random.Generator, kind: Kind) -> str:
    """Adjectives, a noun, and a texture that may come after it."""
    adjectives = [any_of(rng, SIZES[kind.size])] if kind.size else []
    adjectives += [any_of(rng, COLOURS[kind.colour])] if kind.colour else []
    noun = any_of(rng, NOUNS[kind.category] if kind.category else THINGS)
    if not kind.texture:
        return " ".join([*adjectives, noun])
    texture = any_of(rng, TEXTURES[kind.texture])
    return " ".join([*adjectives, noun, texture] if texture.startswith("with") else [*adjectives, texture, noun])


def _is(rng: np.random.Generator, phrase: Phrase) -> list[str]:
    """Return all that can come after "is": adjectives, a place, relations."""
    told = [table[value] for name, table in _ADJECTIVES.items() if (value := getattr(phrase.kind, name))]
    adjectives = [any_of(rng, [text for text in choices if " " not in text]) for choices in told]
    return adjectives + _lies(rng, phrase)


def _lies(rng: np.random.Generator, phrase: Phrase) -> list[str]:
    """Return a place and relations, as they come after a noun."""
    said = [f"{any_of(rng, FROM[direction])} the {named(rng, anchor)}" for direction, anchor in phrase.relations]
    if len(phrase.places) == 1:
        said.append(any_of(rng, AFTER[phrase.places[0]]))
    elif phrase.places:
        said.append(f"in the {_place_before(rng, phrase.places)} corner")
    return said


def _place_before(rng: np.random.Generator, places: Sequence[str]) -> str:
    return " ".join(any_of(rng, BEFORE[place]) for place in places)


def any_of(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return one of them by chance."""
    return choices[int(rng.random() * len(choices))]  # several times as fast as rng.choice
