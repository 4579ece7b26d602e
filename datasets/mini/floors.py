"""What can be scored on the embedded data without using both modalities, from the generator's own truth.

A method that does not clearly beat these has not shown that it joins what it sees with what it hears or reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench.datasets.mini.draw import Mask
from bench.datasets.mini.files import Written
from bench.datasets.mini.world import AVS_THINGS
from bench.datasets.mini.write_refer import REFER_LAYOUTS

CONSTANT = "constant answer"
SEES = "sees all, hears nothing"
HEARS = "hears all, sees nothing"
GUESSES = "guesses an object"
GUESSES_ALIKE = "guesses an object of the right category"


def _truths(videos: Sequence[Written], split: str) -> list[tuple]:
    return [entry for video in videos if video.split == split for entry in video.truth]


def ave_floors(videos: Sequence[Written]) -> dict[str, float]:
    """Accuracies in percent on the test split; what an answer is most often is taken from the training split.

    The one-modality oracles know without error which categories are seen (or heard) in a second. They answer with
    background or with one of those at random, whichever was right more often in training with as many of them.
    """
    train, test = _truths(videos, "train"), _truths(videos, "test")
    common = Counter(label for label, _, _ in train).most_common(1)[0][0]
    floors = {CONSTANT: float(np.mean([label == common for label, _, _ in test]))}
    for name, column in ((SEES, 1), (HEARS, 2)):
        right = []
        for count in {len(entry[column]) for entry in train}:
            known, asked = ([e for e in some if len(e[column]) == count] for some in (train, test))
            background = np.mean([label == "" for label, *_ in known])
            guess = np.mean([(entry[0] in entry[column]) / count for entry in known])
            right += [float(e[0] == "") if background >= guess else (e[0] in e[column]) / count for e in asked]
        floors[name] = float(np.mean(right))
    return {name: 100 * share for name, share in floors.items()}


def avs_floors(videos: Sequence[Written]) -> dict[str, float]:
    """Mean IoU in percent on the test split.

    Sees all, hears nothing: the better of segmenting everything seen and segmenting one thing at random (which of
    equally many is right one time in as many). Hears all, sees nothing, and the constant answer: where things were most
    often in training, at the threshold that was best there.
    """
    train, test = _truths(videos, "train"), _truths(videos, "test")
    everything = float(np.mean([_iou(seen, sounding) for sounding, seen in test]))
    average = np.mean([sounding for sounding, _ in train], axis=0)
    levels = np.quantile(average, np.linspace(0, 0.95, 20))
    best = max(levels, key=lambda level: np.mean([_iou(average >= level, sounding) for sounding, _ in train]))
    constant = float(np.mean([_iou(average >= best, sounding) for sounding, _ in test]))
    floors = {CONSTANT: constant, SEES: max(everything, 1 / AVS_THINGS), HEARS: constant}
    return {name: 100 * share for name, share in floors.items()}


def _iou(guess: Mask, truth: Mask) -> float:
    union = np.count_nonzero(guess | truth)
    return np.count_nonzero(guess & truth) / union if union else 1.0


def refer_floors(pictures: Sequence[Written]) -> dict[str, float]:
    """Accuracy@0.5 in percent over the expressions of all test splits, with the box of an object at random.

    The first is what seeing all and reading nothing gives, the second reading nothing but the category. (Boxes of two
    objects never have half of their union in common.)
    """
    asked = [entry for picture in pictures for entry in picture.truth if entry[0].startswith("test")]
    return {
        GUESSES: float(100 * np.mean([1 / objects for _, objects, _ in asked])),
        GUESSES_ALIKE: float(100 * np.mean([1 / alike for _, _, alike in asked])),
    }


FLOORS = {"ave": ave_floors, "avs": avs_floors, **dict.fromkeys(REFER_LAYOUTS, refer_floors)}
