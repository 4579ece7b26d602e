"""Manners of referring to the objects of the small world, one for each data set.

RefCOCO's expressions are short and often name a place; RefCOCO+'s never do; RefCOCOg's are longer and relate objects.
"""

from __future__ import annotations

import numpy as np

from bench.datasets.mini.wording import Kind, word, word_at_length
from bench.datasets.scenes.expressions import Manner
from bench.datasets.scenes.phrase import Item


def part_of_look(rng: np.random.Generator, item: Item, share: float) -> Kind:
    """Return part of an object's look: mostly its category, color and size with probability `share`, texture less."""
    shares = (max(0.85, share), share, share, share * share)
    return Kind(*(word if rng.random() < often else None for word, often in zip(item.look, shares, strict=True)))


MANNERS = {
    "refcoco": Manner(places=0.6, relations=0.15, say=word, part=part_of_look),
    "refcoco+": Manner(places=0.0, relations=0.0, say=word, part=part_of_look),
    "refcocog": Manner(places=0.0, relations=0.8, say=word_at_length, part=part_of_look),
}
