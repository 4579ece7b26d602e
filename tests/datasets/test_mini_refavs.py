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

from bench.datasets.build import build, generator_of
from bench.datasets.generator import WrittenSample
from bench.datasets.mini.refavs_floors import SIGHTED, SIGHTLESS, Referral, refavs_floors
from bench.datasets.mini.refavs_world import (
    FAMILIAR,
    MANNERS,
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
    lambda seed, novel: random_scene(np.random.default_rng(seed), novel),
    st.integers(0, 2**32),
    st.booleans(),
)
seeds = st.integers(0, 2**32)


@given(scenes)
def test_there_are_two_kinds_in_the_same_two_colors_and_things_of_a_kind_sound_alike(scene):
    assert len({(actor.category, actor.color) for actor in scene.actors}) == len(scene.actors) == 4
    assert [*Counter(actor.category for actor in scene.actors).values()] == [2, 2]
    assert [*Counter(actor.color for actor in scene.actors).values()] == [2, 2]
    voices = {actor.category: actor.voice for actor in scene.actors}
    assert all(actor.voice == voices[actor.category] for actor in scene.actors)
    turns = sorted((voice for voice in voices.values() if voice), key=lambda voice: voice.start)
    assert turns[0].start == 0 and turns[-1].end == SECONDS
    if len(turns) == 2:
        assert turns[0].end == turns[1].start and {voice.loudness for voice in turns} == {"loud", "quiet"}


@given(scenes)
def test_what_sounds_has_the_timbre_of_its_kind_and_is_heard_once(scene):
    assert len(scene.video.moments) == SECONDS
    for second, moment in enumerate(scene.video.moments):
        (kind,) = {a.category for a in scene.actors if a.voice and a.voice.start <= second < a.voice.end}
        (source,) = moment.sources
        assert source.timbre == CLASSES[kind][2]
        for thing, shown in zip(moment.things, scene.actors, strict=True):
            assert thing.shape == CLASSES[shown.category][0]
            assert SIZES[0] <= thing.size <= SIZES[1]


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


@given(scenes, seeds, st.integers(0, 3))
def test_an_expression_means_one_thing_and_needs_words_sight_and_hearing(scene, seed, number):
    reference = refer(np.random.default_rng(seed), scene.actors, number)
    assert reference.referents(scene.actors) == [number]
    assert sum(actor.color == reference.color for actor in scene.actors) == 2, "the color leaves two"
    assert sum(reference.manner in actor.manners for actor in scene.actors) == 2, "so does the sound"
    text = reference.word(np.random.default_rng(seed))
    assert not {*text.split()} & {"disc", "ring", "star", "triangle", "heart", "square", "left", "right"}


@given(scenes, seeds)
def test_an_expression_of_nothing_means_nothing(scene, seed):
    reference = refer_to_nothing(np.random.default_rng(seed), scene.actors)
    assert reference.referents(scene.actors) == []


def test_no_kind_or_color_is_meant_more_often_in_a_manner():
    rng = np.random.default_rng(0)
    manners, kinds = Counter(), Counter()
    for _ in range(600):
        scene = random_scene(rng)
        for number, actor in enumerate(scene.actors):
            manners[refer(rng, scene.actors, number).manner] += 1
            kinds[actor.category, actor.voice is None] += 1
    assert {*manners} == {*MANNERS}
    for kind in FAMILIAR:
        assert 0.2 < kinds[kind, True] / (kinds[kind, True] + kinds[kind, False]) < 0.4, "silence says nothing of kind"


def test_the_layout_is_read_as_it_is_meant(tmp_path):
    manifest = build(tmp_path, "refavs", 3, counts=FEW, workers=1)
    assert gives_fingerprint(tmp_path, manifest)
    assert manifest.fingerprint == build(tmp_path / "again", "refavs", 3, counts=FEW, workers=2).fingerprint
    release = Release(tmp_path, "test_u")
    scene = random_scene(np.random.default_rng([3, 3, SPLITS.index("test_u"), 0]), novel=True)
    painted = pictures(scene.video)
    for expression in release.expressions:
        masks = release.masks(expression)[:, 2::4, 2::4]
        np.testing.assert_array_equal(masks, [second[expression.object_id] for _, second in painted])
    categories = {expression.category for expression in release.expressions}
    assert len(categories) == 1 and categories < {"heart", "square"}
    assert not categories & {expression.category for expression in Release(tmp_path, "train").expressions}


def test_enough_is_written_to_learn_from_and_to_test_on():
    counts = generator_of("refavs").counts
    assert [*counts] == [*SPLITS]
    assert 400 <= 4 * counts["train"] <= 700 and 4 * counts["test_s"] >= 300 and 2 * counts["test_u"] >= 80


def test_without_one_modality_little_can_be_reached():
    """Of the whole data, whose pictures are not needed: the first second's mask of each thing is enough."""
    floors = refavs_floors([sample for split in ("train", "test_s", "test_u") for sample in samples(split)])
    assert {*floors} == {*SIGHTED, *SIGHTLESS}
    for name, score in floors.items():
        most = 50.1 if name == "sees and reads, hears nothing" else 30
        assert (20 if name in SIGHTED else 5) < score < most, floors


def samples(split: str) -> list[WrittenSample]:
    """The truth of a split, with the disc around each thing as its mask."""
    written = []
    for index in range(generator_of("refavs").counts[split]):
        rng = np.random.default_rng([1, SPLITS.index(split), index])
        scene = random_scene(rng, novel=split == "test_u")
        rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
        truth = []
        for number, thing in enumerate(scene.video.moments[0].things):
            mask = np.hypot(columns - thing.x, rows - thing.y) < thing.size / 2
            truth.append(tuple(Referral(scene.actors, refer(rng, scene.actors, number), number, mask)))
        written.append(WrittenSample(split, "", {}, truth))
    return written


def test_floors_are_those_of_the_truth():
    loud, quiet = Voice(0, 5, "loud"), Voice(5, 10, "quiet")
    actors = tuple(Actor(*actor) for actor in product_of(("Ring", loud), ("Disc", quiet)))

    def mask(column: int) -> np.ndarray:
        pixels = np.zeros((4, 4), dtype=bool)
        pixels[:, column] = True
        return pixels

    def sample(split: str, *targets: tuple[str, int]) -> WrittenSample:
        truth = [
            tuple(Referral(actors, Reference(manner, actors[number].color), number, mask(number)))
            for manner, number in targets
        ]
        return WrittenSample(split, "", {}, truth)

    train = sample("train", ("first", 0), ("first", 1), ("loud", 0), ("quiet", 2))
    floors = refavs_floors([train, sample("test_s", ("first", 0)), sample("test_u", ("quiet", 3)), sample("test_n")])
    # The color leaves one ring and one disc, which sight and words do not tell apart.
    assert floors["sees and reads, hears nothing"] == 50.0
    assert floors["sees, hears and reads nothing"] == 25.0
    # In training, rings (loud and first) were meant most often: right in one of two for the first, never the second.
    assert floors["sees and hears, reads nothing"] == 25.0
    # Of the first, columns 0 and 1 in training; of the quiet, column 2.
    assert floors["hears and reads, sees nothing"] == pytest.approx(100 * (1 / 2 + 0) / 2)


def product_of(*kinds):
    return [(kind, color, voice) for kind, voice in kinds for color in ("red", "blue")]


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the Fourier transform of noise is compiled otherwise there"
)
def test_scenes_are_the_same_to_the_bit():
    digest = sha256()
    for novel in (False, True):
        rng = np.random.default_rng([0, int(novel)])
        scene = random_scene(rng, novel)
        for pixels, masks in pictures(scene.video):
            digest.update(pixels.tobytes() + b"".join(mask.tobytes() for mask in masks))
        digest.update((waveform(scene.video, rng) * 32767).astype("<i2").tobytes())
        texts = [refer(rng, scene.actors, number).word(rng) for number in range(4)]
        texts.append(refer_to_nothing(rng, scene.actors).word(rng))
        digest.update("\n".join(texts).encode())
    assert digest.hexdigest()[:16] == "8cdc9e69d47714b1"
