"""Scores on the generated Ref-AVS that are possible without one or two of sight, hearing and words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from bench.datasets.generator import Mask, WrittenSample
from bench.datasets.mini.refavs_world import Actor, Reference

_TESTED = ("test_s", "test_u")
_LEVELS = 20  # of the threshold of an average mask

# What each oracle knows, by the names of the floors.
SIGHTED = {
    "only sees": ("alike",),
    "sees and reads, hears nothing": ("alike", "meant", "manner"),
    "sees and hears, reads nothing": ("alike", "manners"),
}
SIGHTLESS = {
    "only reads": ("manner",),
    "only hears": (),
    "hears and reads, sees nothing": ("manners", "manner"),
}


class Referral(NamedTuple):
    """The truth of an expression: the things of its scene, what it says, what it means, its mask in one frame."""

    actors: tuple[Actor, ...]
    reference: Reference
    target: int
    mask: Mask


def refavs_floors(videos: Sequence[WrittenSample]) -> dict[str, float]:
    """Return J, in percent, of answers of oracles that lack a modality; over the expressions of both test splits.

    An oracle with sight knows all masks. Of each thing it knows what its modalities tell perfectly: how many things
    have its color; whether it has the color that the expression names; how its material sounds. It answers with the
    thing that was most often meant among things like it in training. (All candidates together would score the same,
    since each is as likely.) One without sight answers with the pixels that were covered most often in training, at the
    best threshold there.
    """
    train = [Referral(*entry) for video in videos if video.split == "train" for entry in video.truth]
    test = [Referral(*entry) for video in videos if video.split in _TESTED for entry in video.truth]
    scores = {name: _guessed(train, test, facts) for name, facts in SIGHTED.items()}
    scores |= {name: _averaged(train, test, facts) for name, facts in SIGHTLESS.items()}
    return {name: 100 * score for name, score in scores.items()}


def _known(entry: Referral, number: int, facts: Sequence[str]) -> Hashable:
    """Return what an oracle knows of a thing."""
    actor, reference = entry.actors[number], entry.reference
    values = {
        "alike": sum(actor.color == any_actor.color for any_actor in entry.actors),
        "meant": reference.color == actor.color,
        "manner": reference.manner,
        "manners": actor.manners,
    }
    return tuple(values[fact] for fact in facts)


def _guessed(train: Sequence[Referral], test: Sequence[Referral], facts: Sequence[str]) -> float:
    """Return the share of test expressions whose thing is the likeliest, by its facts; ties are drawn."""
    meant: Counter[Hashable] = Counter()
    present: Counter[Hashable] = Counter()
    for entry in train:
        for number in range(len(entry.actors)):
            known = _known(entry, number, facts)
            present[known] += 1
            meant[known] += number == entry.target
    hits = []
    for entry in test:
        things = [_known(entry, number, facts) for number in range(len(entry.actors))]
        chances = [meant[known] / max(present[known], 1) for known in things]
        best = [number for number, chance in enumerate(chances) if chance == max(chances)]
        hits.append((entry.target in best) / len(best))
    return float(np.mean(hits))


def _averaged(train: Sequence[Referral], test: Sequence[Referral], facts: Sequence[str]) -> float:
    """Return the mean IoU of one mask for all expressions with the same facts of their thing."""
    masks: dict[Hashable, list[Mask]] = defaultdict(list)
    for entry in train:
        masks[_known(entry, entry.target, facts)].append(entry.mask)
    answers = {known: _best_mask(np.stack(group)) for known, group in masks.items()}
    nothing = np.zeros_like(train[0].mask)
    scores = [_ious(answers.get(_known(entry, entry.target, facts), nothing), entry.mask[None]) for entry in test]
    return float(np.mean(scores))


def _best_mask(masks: np.ndarray) -> Mask:
    """Return the pixels that masks (N, side, side) cover most often, at the threshold that fits them best."""
    average = masks.mean(axis=0)
    candidates = [average >= level for level in np.quantile(average, np.linspace(0, 0.95, _LEVELS))]
    return max(candidates, key=lambda mask: float(_ious(mask, masks).mean()))


def _ious(guess: Mask, truths: np.ndarray) -> np.ndarray:
    """Return the IoU of a mask with each of the true ones (N, side, side), none of which is empty."""
    return (guess & truths).sum(axis=(1, 2)) / (guess | truths).sum(axis=(1, 2))
