"""The meaning of a referring expression, and the object of a scene that it refers to.

A phrase represents a meaning, which can be checked against the scene; `wording` puts it into words. It is used for an
object only if it refers to that object alone, both when its words are read strictly and when they are read loosely.

What there is to say about a look is up to the world: here it is a tuple of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any, Protocol

MARGIN = 0.15  # share of the picture's width or height by which places must differ to be distinguished in words
_MIDDLE = 0.2  # largest distance from the center at which an object is "in the middle", as such a share
DIRECTIONS = ("left", "right", "top", "bottom")
_AXES = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}  # axis of the picture, and sign

Look = tuple[str, ...]
"""How an object looks, part by part, in a world's own order of the parts."""
Kind = tuple[Any, ...]
"""A look of which some parts may be None: unspecified."""


class Item(Protocol):
    """An object of a scene."""

    @property
    def look(self) -> Look:
        """How it looks."""

    @property
    def place(self) -> tuple[float, float]:
        """Its center, as shares of the picture's width and height from the left and top."""


class Scene(Protocol):
    """A picture of some objects."""

    @property
    def items(self) -> Sequence[Item]:
        """Its objects."""


def fits(kind: Kind, item: Item) -> bool:
    """Return whether an object is of a kind."""
    return all(part in (None, value) for part, value in zip(kind, item.look, strict=True))


@dataclass(frozen=True)
class Phrase:
    """A description of an object by its kind, its place among the objects of that kind, and its relations to others.

    Attributes:
        kind: Its look.
        places: Items of `DIRECTIONS`, or "middle"; two of them are a corner.
        relations: Pairs of a direction and the kind of the object from which it is counted.
    """

    kind: Kind
    places: tuple[str, ...] = ()
    relations: tuple[tuple[str, Kind], ...] = ()


def refers(phrase: Phrase, scene: Scene, item: Item) -> bool:
    """Return whether a phrase refers to this object and no other, whether read strictly or loosely."""
    return referents(phrase, scene, narrow=True) == [item] == referents(phrase, scene, narrow=False)


def referents(phrase: Phrase, scene: Scene, narrow: bool) -> list[Item]:
    """Return the objects that a phrase may refer to; none if an object that it is related to is ambiguous.

    Read strictly, "left of" needs a clear and mostly horizontal distance; read loosely, any distance will do. A place
    always needs a clear distance from all other objects of the kind.
    """
    fitting = [item for item in scene.items if fits(phrase.kind, item)]
    for direction, kind in phrase.relations:
        anchors = [item for item in scene.items if fits(kind, item)]
        if len(anchors) != 1:
            return []
        fitting = [item for item in fitting if _is_in_direction(direction, item, anchors[0], narrow)]
    return [item for item in fitting if all(_is_at(place, item, fitting) for place in phrase.places)]


def _is_in_direction(direction: str, item: Item, anchor: Item, narrow: bool) -> bool:
    axis, sign = _AXES[direction]
    distance = sign * (item.place[axis] - anchor.place[axis])
    offset = abs(item.place[1 - axis] - anchor.place[1 - axis])
    return distance > max(MARGIN, offset) if narrow else distance > 0


def _is_at(place: str, item: Item, fitting: Sequence[Item]) -> bool:
    """Return whether an object is at a place of the picture, and clearly more so than all others that fit."""

    def score(candidate: Item) -> float:
        if place == "middle":
            return -hypot(candidate.place[0] - 0.5, candidate.place[1] - 0.5)
        axis, sign = _AXES[place]
        return sign * (candidate.place[axis] - 0.5)

    threshold = -_MIDDLE if place == "middle" else MARGIN / 2
    rivals = (candidate for candidate in fitting if candidate is not item)
    return score(item) > threshold and all(score(item) > score(rival) + MARGIN for rival in rivals)
