"""Floors of tasks with one right answer: accuracies that need no inputs, or only a part of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence


def accuracy(
    train: Sequence[Hashable],
    test: Sequence[Hashable],
    known: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
) -> float:
    """Return the accuracy, in percent, of the most frequent training answer among samples that look alike.

    Args:
        train: The answer of each training sample.
        test: The answer of each test sample.
        known: What is known of each training and of each test sample, such as the text of its question; None for
            nothing, so that the answer is always the same. Of a test sample that is like no training sample, nothing is
            known.
    """
    overall = Counter(train).most_common(1)[0][0]
    if known is None:
        return 100 * sum(answer == overall for answer in test) / len(test)
    answers: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for key, answer in zip(known[0], train, strict=True):
        answers[key][answer] += 1
    guesses = (answers[key].most_common(1)[0][0] if key in answers else overall for key in known[1])
    return 100 * sum(guess == answer for guess, answer in zip(guesses, test, strict=True)) / len(test)
