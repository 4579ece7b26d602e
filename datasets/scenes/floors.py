"""Scores on the generated data that need only one modality, computed from the generator's ground truth.

A method that does not clearly beat these has not shown that it combines what it sees with what it hears or reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench.datasets.generator import Mask, WrittenSample

CONSTANT = "constant answer"
VISION_ONLY = "sees all, hears nothing"
AUDIO_ONLY = "hears all, sees nothing"
GUESSES = "guesses an object"
GUESSES_ALIKE = "guesses an object of the right category"


def _truths(videos: Sequence[WrittenSample], split: str) -> list[tuple]:
    return [entry for video in videos if video.split == split for entry in video.truth]


def ave_floors(videos: Sequence[WrittenSample]) -> dict[str, float]:
    """Return accuracies on the test split, in percent, of answers that are chosen on the training split.

    The one-modality oracles know perfectly which categories are visible (or audible) in a second. They answer with
    background or with one of these categories at random, whichever was right more often in training for the same
    number of categories.
    """
    train, test = _truths(videos, "train"), _truths(videos, "test")
    common = Counter(label for label, _, _ in train).most_common(1)[0][0]
    floors = {CONSTANT: float(np.mean([label == common for label, _, _ in test]))}
    for name, column in ((VISION_ONLY, 1), (AUDIO_ONLY, 2)):
        scores = []
        for count in {len(entry[column]) for entry in train}:
            train_part, test_part = ([e for e in split if len(e[column]) == count] for split in (train, test))
            background = np.mean([label == "" for label, *_ in train_part])
            guess = np.mean([(entry[0] in entry[column]) / count for entry in train_part])
            scores += [float(e[0] == "") if background >= guess else (e[0] in e[column]) / count for e in test_part]
        floors[name] = float(np.mean(scores))
    return {name: 100 * share for name, share in floors.items()}


def avs_floors(videos: Sequence[WrittenSample], *, things: int) -> dict[str, float]:
    """Return mean IoUs on the test split, in percent.

    Vision only: the better of segmenting all objects and segmenting one of them at random. Audio only, and the constant
    answer: the pixels that were covered most often in training, at the best threshold there.

    Args:
        videos: All samples.
        things: Number of visible objects in each frame.
    """
    train, test = _truths(videos, "train"), _truths(videos, "test")
    everything = float(np.mean([_iou(visible, sounding) for sounding, visible in test]))
    average = np.mean([sounding for sounding, _ in train], axis=0)
    levels = np.quantile(average, np.linspace(0, 0.95, 20))
    best = max(levels, key=lambda level: np.mean([_iou(average >= level, sounding) for sounding, _ in train]))
    constant = float(np.mean([_iou(average >= best, sounding) for sounding, _ in test]))
    floors = {CONSTANT: constant, VISION_ONLY: max(everything, 1 / things), AUDIO_ONLY: constant}
    return {name: 100 * share for name, share in floors.items()}


def _iou(guess: Mask, truth: Mask) -> float:
    union = np.count_nonzero(guess | truth)
    return np.count_nonzero(guess & truth) / union if union else 1.0


def refer_floors(pictures: Sequence[WrittenSample]) -> dict[str, float]:
    """Return accuracies@0.5 of answering with a random object's box, in percent, over all test splits' expressions.

    The first floor ignores the text, the second knows only the category from it. (The boxes of two objects never
    overlap with an IoU of 0.5.)
    """
    truths = [entry for picture in pictures for entry in picture.truth if entry[0].startswith("test")]
    return {
        GUESSES: float(100 * np.mean([1 / objects for _, objects, _ in truths])),
        GUESSES_ALIKE: float(100 * np.mean([1 / alike for _, _, alike in truths])),
    }
