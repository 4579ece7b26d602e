"""Scores on the generated questions that need only some of the modalities, computed from the generator's ground truth.

An oracle knows its modalities perfectly. What it cannot see or hear, it imagines: many times over, from random
performances. It gives the answer that is most often right for the question; without the question, for any that the
generator may ask.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench.datasets.generator import WrittenSample
from bench.datasets.mini.avqa_questions import TEMPLATES, Question, chances
from bench.datasets.mini.avqa_world import Performance, random_performance
from bench.datasets.scenes.floors import CONSTANT

READS = "only reads"
READS_AND_SEES = "reads and sees, hears nothing"
READS_AND_HEARS = "reads and hears, sees nothing"
SEES_AND_HEARS = "sees and hears, reads nothing"

ORACLES = {
    READS: ("reads",),
    READS_AND_SEES: ("reads", "sees"),
    READS_AND_HEARS: ("reads", "hears"),
    SEES_AND_HEARS: ("sees", "hears"),
}
_IMAGINED = 200  # performances
_SEED = 5


def avqa_floors(videos: Sequence[WrittenSample]) -> dict[str, float]:
    """Return accuracies on the test split's questions, in percent."""
    test = [entry for video in videos if video.split == "test" for entry in video.truth]
    train = [question.answer for video in videos if video.split == "train" for question, _ in video.truth]
    common = Counter(train).most_common(1)[0][0]
    floors = {CONSTANT: float(100 * np.mean([question.answer == common for question, _ in test]))}
    return floors | {name: accuracy(test, senses) for name, senses in ORACLES.items()}


def accuracy(test: Sequence[tuple[Question, Performance]], senses: Sequence[str]) -> float:
    """Return the accuracy, in percent, of an oracle on test questions.

    Args:
        test: The questions, with the performances that they are about.
        senses: Which of "reads", "sees" and "hears" it has.
    """
    rng = np.random.default_rng(_SEED)
    imagined = [random_performance(rng) for _ in range(_IMAGINED)]
    return float(100 * np.mean([_guess(question, p, imagined, senses) == question.answer for question, p in test]))


def _guess(question: Question, known: Performance, imagined: Sequence[Performance], senses: Sequence[str]) -> str:
    votes: dict[str, float] = defaultdict(float)
    for performance in _possible(known, imagined, senses):
        for template in [question.template] if "reads" in senses else TEMPLATES:
            for values, answer, chance in chances(performance, template):
                if "reads" not in senses or values == question.values:
                    votes[answer] += chance
    return max(votes, key=votes.__getitem__)


def _possible(known: Performance, imagined: Sequence[Performance], senses: Sequence[str]) -> Iterator[Performance]:
    """Yield performances that are as the known one in what an oracle senses, and otherwise as imagined ones."""
    if "sees" in senses and "hears" in senses:
        yield known
    elif "sees" not in senses and "hears" not in senses:
        yield from imagined
    else:
        for candidate in imagined:
            if len(candidate.acts) == len(known.acts):
                in_view, audible = (known, candidate) if "sees" in senses else (candidate, known)
                acts = zip(in_view.acts, audible.acts, strict=True)
                yield Performance(tuple(replace(act, visible=shown.visible) for shown, act in acts))
