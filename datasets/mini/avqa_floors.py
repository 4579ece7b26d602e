"""Scores on the generated questions that need only some of the modalities, computed from the generator's ground truth.

An oracle knows its modalities perfectly. It answers what is most often right, among many questions that the generator
asks, for a question that looks alike to it. Categories are interchangeable: two questions that differ only in them
are alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from bench.datasets.generator import WrittenSample
from bench.datasets.mini.avqa_questions import NAMES, TEMPLATES, Question, ask
from bench.datasets.mini.avqa_world import Performance, noun, random_performance
from bench.datasets.mini.floors import CONSTANT

READS = "reads, sees and hears nothing"
READS_AND_SEES = "reads and sees, hears nothing"
READS_AND_HEARS = "reads and hears, sees nothing"
SEES_AND_HEARS = "sees and hears, reads nothing"

ORACLES = {
    READS: ("reads",),
    READS_AND_SEES: ("reads", "sees"),
    READS_AND_HEARS: ("reads", "hears"),
    SEES_AND_HEARS: ("sees", "hears"),
}
_REHEARSALS = 2000  # performances from which the oracles learn
_SEED = 5
_UNKNOWN = "a category that nothing tells"


def avqa_floors(videos: Sequence[WrittenSample]) -> dict[str, float]:
    """Return accuracies on the test split's questions, in percent."""
    rehearsed, test = rehearsals(), [entry for video in videos if video.split == "test" for entry in video.truth]
    train = [question.answer for video in videos if video.split == "train" for question, _ in video.truth]
    common = Counter(train).most_common(1)[0][0]
    floors = {CONSTANT: float(100 * np.mean([question.answer == common for question, _ in test]))}
    return floors | {name: accuracy(rehearsed, test, senses) for name, senses in ORACLES.items()}


def rehearsals(count: int = _REHEARSALS) -> list[tuple[Question, Performance]]:
    """Return questions about random performances, each template asked about each of them."""
    rng = np.random.default_rng(_SEED)
    performances = [random_performance(rng) for _ in range(count)]
    pairs = ((ask(rng, performance, template), performance) for performance in performances for template in TEMPLATES)
    return [(question, performance) for question, performance in pairs if question]


def accuracy(
    train: Sequence[tuple[Question, Performance]],
    test: Sequence[tuple[Question, Performance]],
    senses: Sequence[str],
) -> float:
    """Return the accuracy, in percent, of an oracle on test questions.

    Args:
        train: Questions from which it learns which answers are frequent.
        test: The questions.
        senses: Which of "reads", "sees" and "hears" it has.
    """
    table: dict[Hashable, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for question, performance in train:
        key, names = _view(question, performance, senses)
        chances = _answers(question.answer, names)
        table[key].update(chances)
        overall.update(chances)
    scores = []
    for question, performance in test:
        key, names = _view(question, performance, senses)
        guess = max((table.get(key) or overall).items(), key=lambda item: item[1])[0]
        scores.append(_answers(question.answer, names).get(guess, 0.0))
    return float(100 * np.mean(scores))


def _view(question: Question, performance: Performance, senses: Sequence[str]) -> tuple[Hashable, dict[str, str]]:
    """Return what an oracle knows of a question, with categories numbered as they occur, and these numbers by name."""
    names: dict[str, str] = {}

    def number(word: str) -> str:
        return names.setdefault(word, f"category {len(names)}") if word in NAMES else word

    view: list[Hashable] = []
    if "reads" in senses:
        view += [question.template.text, *map(number, question.values)]
    if "sees" in senses:
        view.append(tuple(category and number(noun(category)) for category in performance.visible))
    if "hears" in senses:
        view.append(tuple((number(noun(part.category)), part.rank) for part in performance.parts))
    return tuple(view), names


def _answers(answer: str, names: dict[str, str]) -> dict[str, float]:
    """Return which guess is right, with its chance: if the answer is a category not in `names`, one of the others."""
    if answer in NAMES and answer not in names:
        return {_UNKNOWN: 1 / (len(NAMES) - len(names))}
    return {names.get(answer, answer): 1.0}
