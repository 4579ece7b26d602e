"""The embedded data in the layout of Ref-AVS: what no modality but all three tell together."""

from __future__ import annotations

import platform
from collections import Counter
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import gives_fingerprint

from bench.datasets.generator import WrittenSample
from bench.datasets.mini.build import build, generator_of
from bench.datasets.mini.refavs_floors import SIGHTED, SIGHTLESS, Referral, refavs_floors
from bench.datasets.mini.refavs_world import (
    FAMILIAR,
    MANNERS,
    NOVEL,
    PITCHES,
    SECONDS,
    SIZES,
    Actor,
    Reference,
    Voice,
    random_scene,
    refer,
    refer_to_nothing,
)
from bench.datasets.mini.render import SIDE, pictures, waveform
from bench.datasets.mini.world import CLASSES
from bench.datasets.refavs import SPLITS, Release

FEW = {"train": 1, "val": 1, "test_s": 1, "test_u": 1, "test_n": 1}
scenes = st.builds(
    lambda seed, novel: random_scene(np.random.default_rng(seed), NOVEL if novel else FAMILIAR),
    st.integers(0, 2**32),
    st.booleans(),
)
seeds = st.integers(0, 2**32)


@given(scenes)
def test_two_of_three_things_look_alike_and_two_sound_one_after_the_other(scene):
    assert sorted(Counter(actor.category for actor in scene.actors).values()) == [1, 2]
    assert len({(actor.category, actor.size) for actor in scene.actors}) == 3, "no two are the same"
    first, last = sorted((actor.voice for actor in scene.actors if actor.voice), key=lambda voice: voice.start)
    assert (first.start, first.end, last.end) == (0, last.start, SECONDS)
    assert {first.loudness, last.loudness} == {"loud", "quiet"}


@given(scenes)
def test_what_sounds_has_the_timbre_of_its_category_and_the_pitch_of_its_size(scene):
    assert len(scene.video.moments) == SECONDS
    for second, moment in enumerate(scene.video.moments):
        (actor,) = [a for a in scene.actors if a.voice and a.voice.start <= second < a.voice.end]
        (source,) = moment.sources
        assert source.timbre == CLASSES[actor.category][2]
        assert PITCHES[actor.size][0] <= source.pitch <= PITCHES[actor.size][1]
        for thing, shown in zip(moment.things, scene.actors, strict=True):
            assert thing.shape == CLASSES[shown.category][0]
            assert SIZES[shown.size][0] <= thing.size <= SIZES[shown.size][1]
    assert PITCHES["large"][1] < PITCHES["small"][0] and SIZES["small"][1] < SIZES["large"][0]


@given(scenes)
def test_things_are_whole_and_apart_in_every_second(scene):
    for moment in scene.video.moments:
        boxes = [
            (thing.x - thing.size / 2, thing.x + thing.size / 2, thing.y - thing.size / 2, thing.y + thing.size / 2)
            for thing in moment.things
        ]
        assert all(-1e-9 < edge < 1 + 1e-9 for box in boxes for edge in box)
        for index, (left, right, top, bottom) in enumerate(boxes):
            for left_2, right_2, top_2, bottom_2 in boxes[:index]:
                assert (
                    right <= left_2 + 1e-9 or right_2 <= left + 1e-9 or bottom <= top_2 + 1e-9 or bottom_2 <= top + 1e-9
                )


@given(scenes, seeds, st.integers(0, 2))
def test_an_expression_means_one_thing_and_needs_hearing(scene, seed, number):
    reference = refer(np.random.default_rng(seed), scene.actors, number)
    assert reference.referents(scene.actors) == [number]
    if reference.category:
        assert sum(actor.category == reference.category for actor in scene.actors) == 2, (
            "a category alone names nothing"
        )
    text = reference.word(np.random.default_rng(seed))
    assert not {*text.split()} & {"small", "large", "high", "low", "left", "right"}


@given(scenes, seeds)
def test_an_expression_of_nothing_means_nothing(scene, seed):
    reference = refer_to_nothing(np.random.default_rng(seed), scene.actors, FAMILIAR)
    assert reference.category and reference.referents(scene.actors) == []


def test_every_thing_is_meant_as_often_in_every_manner():
    rng = np.random.default_rng(0)
    manners, targets = Counter(), Counter()
    for _ in range(600):
        scene = random_scene(rng, FAMILIAR)
        for number, actor in enumerate(scene.actors):
            manners[refer(rng, scene.actors, number).manner] += 1
            targets[(actor.size, actor.voice is None)] += 1
    assert {*manners} == {*MANNERS}
    assert 0.9 < targets["small", True] / targets["large", True] < 1.1, "silence says nothing of size"


def test_the_layout_is_read_as_it_is_meant(tmp_path):
    manifest = build(tmp_path, "refavs", 3, counts=FEW, workers=1)
    assert gives_fingerprint(tmp_path, manifest)
    assert manifest.fingerprint == build(tmp_path / "again", "refavs", 3, counts=FEW, workers=2).fingerprint
    release = Release(tmp_path, "test_u")
    scene = random_scene(np.random.default_rng([3, 3, SPLITS.index("test_u"), 0]), NOVEL)
    painted = pictures(scene.video)
    for expression in release.expressions:
        masks = release.masks(expression)[:, 2::4, 2::4]
        np.testing.assert_array_equal(masks, [second[expression.object_id] for _, second in painted])
    categories = {expression.category for expression in release.expressions}
    assert categories == {"heart", "square"}
    assert not categories & {expression.category for expression in Release(tmp_path, "train").expressions}


def test_enough_is_written_to_learn_from_and_to_test_on():
    counts = generator_of("refavs").counts
    assert [*counts] == [*SPLITS]
    assert 400 <= 3 * counts["train"] <= 600 and 10 * 3 * counts["test_s"] >= 1000 <= 10 * 3 * counts["test_u"]


def test_without_one_modality_little_can_be_reached():
    """Of the whole data, whose pictures are not needed: the first second's mask of each thing is enough."""
    floors = refavs_floors([sample for split in ("train", "test_s", "test_u") for sample in samples(split)])
    assert {*floors} == {*SIGHTED, *SIGHTLESS}
    for name, score in floors.items():
        assert (30 if name in SIGHTED else 5) < score < (45 if name in SIGHTED else 20), floors


def samples(split: str) -> list[WrittenSample]:
    """The truth of a split, with the disc around each thing as its mask."""
    written = []
    for index in range(generator_of("refavs").counts[split]):
        rng = np.random.default_rng([1, SPLITS.index(split), index])
        scene = random_scene(rng, NOVEL if split == "test_u" else FAMILIAR)
        rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
        truth = []
        for number, thing in enumerate(scene.video.moments[0].things):
            mask = np.hypot(columns - thing.x, rows - thing.y) < thing.size / 2
            truth.append(tuple(Referral(scene.actors, refer(rng, scene.actors, number), number, mask)))
        written.append(WrittenSample(split, "", {}, truth))
    return written


def test_floors_are_those_of_the_truth():
    actors = (
        Actor("Ring", "small", Voice(0, 5, "loud")),
        Actor("Ring", "large", Voice(5, 10, "quiet")),
        Actor("Disc", "large", None),
    )

    def mask(column: int) -> np.ndarray:
        pixels = np.zeros((4, 4), dtype=bool)
        pixels[:, column] = True
        return pixels

    def sample(split: str, *targets: tuple[str, int]) -> WrittenSample:
        truth = [tuple(Referral(actors, Reference(manner), number, mask(number))) for manner, number in targets]
        return WrittenSample(split, "", {}, truth)

    train = sample("train", ("first", 0), ("last", 1), ("silent", 2), ("loud", 0))
    floors = refavs_floors([train, sample("test_s", ("first", 0)), sample("test_u", ("quiet", 1)), sample("test_n")])
    # In training the small ring was meant most often, so sight answers with it, with and without hearing.
    assert floors["sees, hears and reads nothing"] == floors["sees and hears, reads nothing"] == 50.0
    # "first" was the small ring; of "quiet" nothing is known.
    assert floors["sees and reads, hears nothing"] == pytest.approx(100 * (1 + 1 / 3) / 2)
    # One small thing was always in column 0, large ones in columns 1 and 2: either is half of both together.
    assert floors["hears and reads, sees nothing"] == pytest.approx(100 * (1 + 1 / 2) / 2)
    assert floors["hears, sees and reads nothing"] == 50.0


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the Fourier transform of noise is compiled otherwise there"
)
def test_scenes_are_the_same_to_the_bit():
    digest = sha256()
    for index, categories in enumerate((FAMILIAR, NOVEL)):
        rng = np.random.default_rng([0, index])
        scene = random_scene(rng, categories)
        for pixels, masks in pictures(scene.video):
            digest.update(pixels.tobytes() + b"".join(mask.tobytes() for mask in masks))
        digest.update((waveform(scene.video, rng) * 32767).astype("<i2").tobytes())
        texts = [refer(rng, scene.actors, number).word(rng) for number in range(3)]
        texts.append(refer_to_nothing(rng, scene.actors, FAMILIAR).word(rng))
        digest.update("\n".join(texts).encode())
    assert digest.hexdigest()[:16] == "da8657d137bee76b"
