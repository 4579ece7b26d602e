"""Words for natural things: by group, noun or whole name, and by size."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from bench.datasets.scenes import wording
from bench.datasets.scenes.expressions import Manner
from bench.datasets.scenes.phrase import Item
from bench.datasets.scenes.wording import any_of

_SIZES = {"small": ("small",), "large": ("large", "big")}
_ANYTHING = ("one", "thing")


class Kind(NamedTuple):
    """The look of a thing; None for anything unspecified."""

    group: str | None = None
    noun: str | None = None
    title: str | None = None
    size: str | None = None


def part_of_look(rng: np.random.Generator, item: Item, share: float) -> Kind:
    """Return part of a thing's look: mostly its group, its noun or its whole name, and its size at a share of times.

    A noun that is the group's word, or a whole name that is a noun, means all that have it.
    """
    group, noun, title, size = item.look
    general = Kind(group=group)
    by_noun = general if noun == group else Kind(noun=noun)
    words = (by_noun, general, by_noun if title == noun else Kind(title=title), Kind())
    chance = rng.random()
    kind = words[int(np.searchsorted((0.45, 0.75, 0.93), chance, side="right"))]
    return kind._replace(size=size if rng.random() < share else None)


def named(rng: np.random.Generator, look: tuple[str | None, ...]) -> str:
    """Return a kind as an adjective of size, if any, and the most specific name."""
    kind = Kind(*look)
    name = kind.title or kind.noun or kind.group or any_of(rng, _ANYTHING)
    return f"{any_of(rng, _SIZES[kind.size])} {name}" if kind.size else name


MANNER = Manner(places=0.45, relations=0.1, say=partial(wording.word, named=named), part=part_of_look)
"""RefCOCO's: short expressions, of which many name a place."""
