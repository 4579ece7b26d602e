"""Questions about performances, of the nine types of MUSIC-AVQA, and their answers.

Words are few and short: the embedded text encoder spells out those that it does not know. The answers of a
template are equally frequent, so its words alone do not tell which is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, permutations

import numpy as np

from bench.datasets.mini.avqa_world import PERFORMERS, SIDES, Performance, noun

NUMBERS = ("zero", "one", "two")
NAMES = tuple(noun(category) for category in PERFORMERS)
_SHARES = {"Audio": 2, "Visual": 2, "Audio-Visual": 3}  # questions about a video, at most
_EITHER = ("yes", "no")
_ONE_OR_TWO = ("one", "one", "one", "two")
_UP_TO_TWO = ("zero", "zero", "one", "two", "two", "two", "two")
_CATEGORY = dict(zip(NAMES, PERFORMERS, strict=True))

Values = tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """A kind of question.

    Attributes:
        kind: Its type: what it is about, and what it asks for.
        text: The question, with a placeholder for each value.
        options: The answers that are asked for, equally often; those that seldom have a question are repeated.
        choices: Yields each choice of values for which a performance has an answer, with that answer.
    """

    kind: tuple[str, str]
    text: str
    options: tuple[str, ...]
    choices: Callable[[Performance], Iterator[tuple[Values, str]]]


@dataclass(frozen=True)
class Question:
    """A question about a performance, and its answer."""

    template: Template
    values: Values
    answer: str


def questions(rng: np.random.Generator, performance: Performance) -> list[Question]:
    """Return different questions about a performance, at most `_SHARES` of each kind.

    Each template is tried twice, in random order.
    """
    chosen: list[Question] = []
    for about, count in _SHARES.items():
        templates = 2 * [template for template in TEMPLATES if template.kind[0] == about]
        candidates = (ask(rng, performance, templates[number]) for number in rng.permutation(len(templates)))
        chosen += list(islice(dict.fromkeys(filter(None, candidates)), count))
    return chosen


def ask(rng: np.random.Generator, performance: Performance, template: Template) -> Question | None:
    """Return a question about a performance with a certain answer, which is drawn; None if there is none."""
    answer = template.options[int(rng.integers(len(template.options)))]
    fitting = [values for values, candidate in template.choices(performance) if candidate == answer]
    return Question(template, fitting[int(rng.integers(len(fitting)))], answer) if fitting else None


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _is_heard(p: Performance) -> Iterator[tuple[Values, str]]:
    for name, category in _CATEGORY.items():
        yield (name,), _yes(p.part(category) is not None)


def _sounds(p: Performance) -> Iterator[tuple[Values, str]]:
    yield (), NUMBERS[len(p.parts)]


def _louder(p: Performance) -> Iterator[tuple[Values, str]]:
    for a, b in permutations(p.parts, 2):
        yield (noun(a.category), noun(b.category)), _yes(a.rank < b.rank)


def _is_seen(p: Performance) -> Iterator[tuple[Values, str]]:
    for name, category in _CATEGORY.items():
        yield (name,), _yes(category in p.visible)


def _things(p: Performance) -> Iterator[tuple[Values, str]]:
    yield (), NUMBERS[len(p.things)]


def _at_side(p: Performance) -> Iterator[tuple[Values, str]]:
    for side, category in p.things.items():
        yield (side,), noun(category)


def _sounding(p: Performance) -> Iterator[tuple[Values, str]]:
    for side, category in p.things.items():
        yield (side,), _yes(p.part(category) is not None)


def _sounding_things(p: Performance) -> Iterator[tuple[Values, str]]:
    yield (), NUMBERS[sum(p.part(category) is not None for category in p.things.values())]


def _loudest(p: Performance) -> Iterator[tuple[Values, str]]:
    ranked = sorted(p.parts, key=lambda part: part.rank)
    if len(ranked) > 1 and len(p.things) > 1:
        for word, part in (("loudest", ranked[0]), ("lowest", ranked[-1])):
            if side := p.side(part.category):
                yield (word,), side


def _from_thing(p: Performance) -> Iterator[tuple[Values, str]]:
    for word, category in _order(p):
        yield (word,), _yes(category in p.visible)


def _louder_side(p: Performance) -> Iterator[tuple[Values, str]]:
    for first, second in permutations(p.things, 2):
        a, b = p.part(p.things[first]), p.part(p.things[second])
        if a and b:
            yield (first, second), _yes(a.rank < b.rank)


def _order(p: Performance) -> Iterator[tuple[str, str]]:
    """Yield which sound is the first and which the last, if there are several."""
    if len(p.parts) > 1:
        yield "first", p.parts[0].category
        yield "last", p.parts[-1].category


def _where_in_order(p: Performance) -> Iterator[tuple[Values, str]]:
    for word, category in _order(p):
        if len(p.things) > 1 and (side := p.side(category)):
            yield (word,), side


TEMPLATES = (
    Template(("Audio", "Counting"), "Is there a <Object> sound?", _EITHER, _is_heard),
    Template(("Audio", "Counting"), "How many sounds are there?", _ONE_OR_TWO, _sounds),
    Template(("Audio", "Comparative"), "Is the <Object> louder than the <Object>?", _EITHER, _louder),
    Template(("Visual", "Counting"), "Is there a <Object> in the video?", _EITHER, _is_seen),
    Template(("Visual", "Counting"), "How many things are there?", _ONE_OR_TWO, _things),
    Template(("Visual", "Location"), "What is on the <LR>?", NAMES, _at_side),
    Template(("Audio-Visual", "Existential"), "Is the thing on the <LR> sounding?", _EITHER, _sounding),
    Template(("Audio-Visual", "Counting"), "How many things are sounding?", _UP_TO_TWO, _sounding_things),
    Template(("Audio-Visual", "Location"), "Where is the <LL> thing?", SIDES, _loudest),
    Template(("Audio-Visual", "Location"), "Is the <FL> sound of a thing in the video?", _EITHER, _from_thing),
    Template(("Audio-Visual", "Comparative"), "Is the <LR> thing louder than the <LR> thing?", _EITHER, _louder_side),
    Template(("Audio-Visual", "Temporal"), "Where is the <FL> sounding thing?", SIDES, _where_in_order),
)
KINDS = tuple(dict.fromkeys(template.kind for template in TEMPLATES))
