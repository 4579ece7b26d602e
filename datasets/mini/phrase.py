"""What a referring expression says, and which object of a scene it means.

A phrase is kept as its meaning, which can be checked against the scene; `wording` puts it into words. It is used for an
object only where that object alone is meant, by a narrow reading of its words and by a generous one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import NamedTuple

from bench.datasets.mini.scene import Item, Scene

MARGIN = 0.15  # share of the picture's width or height by which places must differ to be told apart by words
_MIDDLE = 0.2  # how far from the middle of the picture something in the middle is at most, likewise
DIRECTIONS = ("left", "right", "top", "bottom")
PLACES = (*DIRECTIONS, "middle")
_AXES = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}  # axis of the picture, and sign


class Kind(NamedTuple):
    """What an object looks like; None leaves it open."""

    category: str | None = None
    colour: str | None = None
    size: str | None = None
    texture: str | None = None

    def fits(self, item: Item) -> bool:
        """Return whether the object looks like that."""
        category, colour, size, texture = item.look
        return (
            self.category in (None, category)
            and self.colour in (None, colour)
            and self.size in (None, size)
            and self.texture in (None, texture)
        )


@dataclass(frozen=True)
class Phrase:
    """The object of a kind, at `places` among those of its kind, and in a direction from each anchor.

    Attributes:
        kind: what it is like.
        places: of `PLACES`; two are a corner.
        relations: (direction, kind of the anchor).
    """

    kind: Kind
    places: tuple[str, ...] = ()
    relations: tuple[tuple[str, Kind], ...] = ()


def refers(phrase: Phrase, scene: Scene, item: Item) -> bool:
    """Return whether the phrase means this object and no other, however narrowly or generously it is read."""
    return referents(phrase, scene, narrow=True) == [item] == referents(phrase, scene, narrow=False)


def referents(phrase: Phrase, scene: Scene, narrow: bool) -> list[Item]:
    """Return the objects that the phrase may mean; none where one of its anchors is not a single object.

    Read narrowly, "left of" asks for a clear distance that is mostly sideways; read generously, for any. A place always
    asks for a clear distance from all others of the kind.
    """
    fitting = [item for item in scene.items if phrase.kind.fits(item)]
    for direction, kind in phrase.relations:
        anchors = [item for item in scene.items if kind.fits(item)]
        if len(anchors) != 1:
            return []
        fitting = [item for item in fitting if _lies(direction, item, anchors[0], narrow)]
    return [item for item in fitting if all(_is_at(place, item, fitting) for place in phrase.places)]


def _lies(direction: str, item: Item, anchor: Item, narrow: bool) -> bool:
    axis, sign = _AXES[direction]
    along = sign * (item.place[axis] - anchor.place[axis])
    across = abs(item.place[1 - axis] - anchor.place[1 - axis])
    return along > max(MARGIN, across) if narrow else along > 0


def _is_at(place: str, item: Item, fitting: Sequence[Item]) -> bool:
    """Return whether an object lies in its part of the picture, and clearly more so than all others that fit."""

    def far(one: Item) -> float:
        if place == "middle":
            return -hypot(one.place[0] - 0.5, one.place[1] - 0.5)
        axis, sign = _AXES[place]
        return sign * (one.place[axis] - 0.5)

    least = -_MIDDLE if place == "middle" else MARGIN / 2
    return far(item) > least and all(far(item) > far(other) + MARGIN for other in fitting if other is not item)
