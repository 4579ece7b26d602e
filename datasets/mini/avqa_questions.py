"""Questions about performances, of the nine types of MUSIC-AVQA, and their answers.

Words are few and short: the embedded text encoder spells out those that it does not know. The answers of a
template are equally frequent, so its words alone do not tell which is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from bench.datasets.mini.avqa_world import PERFORMERS, SIDES, Act, Performance, noun

NUMBERS = ("one", "two")
NAMES = tuple(noun(category) for category in PERFORMERS)
_SHARES = {"Audio": 1, "Visual": 1, "Audio-Visual": 4}  # questions about a video, at most
_EITHER = ("yes", "no")
_RATHER_YES = ("yes", "yes", "yes", "no", "no")
_RATHER_NO = ("no", "no", "no", "yes", "yes")
_CATEGORY = dict(zip(NAMES, PERFORMERS, strict=True))

Values = tuple[str, ...]
Choices = Iterator[tuple[Values, str]]


@dataclass(frozen=True)
class Template:
    """A kind of question.

    Attributes:
        kind: Its type: what it is about, and what it asks for.
        text: The question, with a placeholder for each value.
        options: The answers that are asked for, equally often; those that seldom have a question are repeated.
        choices: Yields each choice of values for which a performance has an answer, with that answer.
        tries: How often it is tried for a video.
    """

    kind: tuple[str, str]
    text: str
    options: tuple[str, ...]
    choices: Callable[[Performance], Choices]
    tries: int = 2


@dataclass(frozen=True)
class Question:
    """A question about a performance, and its answer."""

    template: Template
    values: Values
    answer: str


def questions(rng: np.random.Generator, performance: Performance) -> list[Question]:
    """Return different questions about a performance, at most `_SHARES` of each kind.

    Templates are tried in random order.
    """
    chosen: list[Question] = []
    for about, count in _SHARES.items():
        templates = [template for template in TEMPLATES if template.kind[0] == about for _ in range(template.tries)]
        candidates = (ask(rng, performance, templates[number]) for number in rng.permutation(len(templates)))
        chosen += list(islice(dict.fromkeys(filter(None, candidates)), count))
    return chosen


def ask(rng: np.random.Generator, performance: Performance, template: Template) -> Question | None:
    """Return a question about a performance with a certain answer, which is drawn; None if there is none."""
    answer = template.options[int(rng.integers(len(template.options)))]
    fitting = [values for values, candidate in template.choices(performance) if candidate == answer]
    return Question(template, fitting[int(rng.integers(len(fitting)))], answer) if fitting else None


def chances(performance: Performance, template: Template) -> Iterator[tuple[Values, str, float]]:
    """Yield the values and the answers with which `ask` may return a question, and how probable each is."""
    choices = list(template.choices(performance))
    number = Counter(answer for _, answer in choices)
    for values, answer in choices:
        yield values, answer, template.options.count(answer) / (len(template.options) * number[answer])


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _is_heard(p: Performance) -> Choices:
    for name, category in _CATEGORY.items():
        yield (name,), _yes(p.sounding(category) is not None)


def _is_loudest(p: Performance) -> Choices:
    for act in p.acts:
        yield (noun(act.sound),), _yes(act.loud)


def _is_seen(p: Performance) -> Choices:
    for name, category in _CATEGORY.items():
        yield (name,), _yes(bool(p.showing(category)))


def _side(p: Performance) -> Choices:
    for name, category in _CATEGORY.items():
        sides = {SIDES[act.visible.index(category)] for act in p.showing(category)}
        if len(sides) == 1:
            yield (name,), sides.pop()


def _seen_while_heard(p: Performance) -> Choices:
    for act in p.acts:
        if shown := p.showing(act.sound):
            yield (noun(act.sound),), _yes(act in shown)


def _things_while_heard(p: Performance) -> Choices:
    if len({len(act.things) for act in p.acts}) > 1:
        for act in p.acts:
            yield (noun(act.sound),), NUMBERS[len(act.things) - 1]


def _where_while_heard(p: Performance) -> Choices:
    single = [act for act in p.acts if len(act.things) == 1]
    if len({*chain.from_iterable(act.things for act in single)}) > 1:
        for act in single:
            yield (noun(act.sound),), next(iter(act.things))


def _what_while_heard(p: Performance) -> Choices:
    single = [act for act in p.acts if len(act.things) == 1]
    if len({*chain.from_iterable(act.things.values() for act in single)}) > 1:
        for act in single:
            yield (noun(act.sound),), noun(next(iter(act.things.values())))


def _shown_once(p: Performance) -> Iterator[tuple[str, Act]]:
    for name, category in _CATEGORY.items():
        if len(shown := p.showing(category)) == 1:
            yield name, shown[0]


def _loudest_while_seen(p: Performance) -> Choices:
    for name, act in _shown_once(p):
        yield (name,), _yes(act.loud)


def _heard_while_seen(p: Performance) -> Choices:
    for name, act in _shown_once(p):
        yield (name,), noun(act.sound)


TEMPLATES = (
    Template(("Audio", "Counting"), "Is there a <Object> sound?", _EITHER, _is_heard),
    Template(("Audio", "Comparative"), "Is the <Object> sound the loudest?", _EITHER, _is_loudest),
    Template(("Visual", "Counting"), "Is there a <Object> in the video?", _EITHER, _is_seen),
    Template(("Visual", "Location"), "Where is the <Object>?", SIDES, _side),
    Template(
        ("Audio-Visual", "Existential"), "Is the <Object> visible while it sounds?", _RATHER_NO, _seen_while_heard
    ),
    Template(
        ("Audio-Visual", "Counting"),
        "How many things are there with the <Object> sound?",
        NUMBERS,
        _things_while_heard,
        1,
    ),
    Template(("Audio-Visual", "Location"), "Where is the thing with the <Object> sound?", SIDES, _where_while_heard),
    Template(("Audio-Visual", "Location"), "What is there with the <Object> sound?", NAMES, _what_while_heard, 4),
    Template(
        ("Audio-Visual", "Comparative"),
        "Is the sound with the <Object> the loudest?",
        _RATHER_YES,
        _loudest_while_seen,
        1,
    ),
    Template(("Audio-Visual", "Temporal"), "What sounds at the time of the <Object>?", NAMES, _heard_while_seen, 4),
)
KINDS = tuple(dict.fromkeys(template.kind for template in TEMPLATES))
