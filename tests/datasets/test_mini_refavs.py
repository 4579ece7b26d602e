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
    MATERIALS,
    NOVEL,
    SECONDS,
    SIZES,
    Actor,
    Reference,
    Voice,
    random_scene,
    refer,
    refer_to_nothing,
    targets,
)
from bench.datasets.mini.render import SIDE, pictures, waveform
from bench.datasets.mini.wording import NOUNS
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
def test_there_are_four_things_of_a_kind_and_those_of_a_material_sound_alike(scene):
    assert len({(actor.material, actor.color) for actor in scene.actors}) == len(scene.actors) == 4
    assert len({actor.category for actor in scene.actors}) == 1
    voices = {actor.material: actor.voice for actor in scene.actors}
    assert all(actor.voice == voices[actor.material] for actor in scene.actors)
    turns = sorted((voice for voice in voices.values() if voice), key=lambda voice: voice.start)
    assert len(voices) == len(turns) + 1, "one material is silent"
    assert turns[0].start == 0 and turns[-1].end == SECONDS and turns[0].end in (SECONDS, turns[-1].start)


@given(scenes)
def test_what_sounds_has_the_timbre_of_its_material_and_is_heard_once(scene):
    assert len(scene.video.moments) == SECONDS
    for second, moment in enumerate(scene.video.moments):
        (material,) = {a.material for a in scene.actors if a.voice and a.voice.start <= second < a.voice.end}
        (source,) = moment.sources
        assert source.timbre == MATERIALS[material]
        for thing, shown in zip(moment.things, scene.actors, strict=True):
            assert thing.shape == CLASSES[shown.category][0] and thing.texture == shown.material
            assert SIZES[0] <= thing.size <= SIZES[1]


def test_materials_look_and_sound_as_classes_of_this_world_do():
    assert {*MATERIALS.items()} <= {(texture, timbre) for _, texture, timbre in CLASSES.values()}


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


@given(scenes, seeds)
def test_an_expression_means_one_thing_and_needs_words_sight_and_hearing(scene, seed):
    numbers = targets(scene.actors)
    assert len(numbers) in (3, 4), "by sight and hearing, each of these may be meant"
    for number in numbers:
        reference = refer(np.random.default_rng(seed), scene.actors, number)
        assert reference.referents(scene.actors) == [number]
        assert sum(actor.color == reference.color for actor in scene.actors) >= 2, "the color leaves some"
        text = reference.word(np.random.default_rng(seed))
        named = {word for words in NOUNS.values() for word in words} | {*MATERIALS}
        assert not {*text.split()} & (named | {"left", "right"})


@given(scenes, seeds)
def test_an_expression_of_nothing_means_nothing(scene, seed):
    reference = refer_to_nothing(np.random.default_rng(seed), scene.actors)
    assert reference.referents(scene.actors) == []


def test_no_kind_or_material_is_meant_more_often_in_a_manner():
    rng = np.random.default_rng(0)
    manners, silent = Counter(), Counter()
    for _ in range(600):
        scene = random_scene(rng)
        for number in targets(scene.actors):
            actor = scene.actors[number]
            manners[refer(rng, scene.actors, number).manner] += 1
            silent[actor.category, actor.voice is None] += 1
            silent[actor.material, actor.voice is None] += 1
    assert {*manners} == {*MANNERS}
    for name in (*FAMILIAR, *MATERIALS):
        assert 0.3 < silent[name, True] / (silent[name, True] + silent[name, False]) < 0.5, "silence does not tell it"


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
    assert categories < {NOUNS[name][0] for name in NOVEL} and len(categories) == 1
    assert not categories & {expression.category for expression in Release(tmp_path, "train").expressions}


def test_enough_is_written_to_learn_from_and_to_test_on():
    counts = generator_of("refavs").counts
    assert [*counts] == [*SPLITS]
    assert 3 * counts["train"] >= 390 and 4 * counts["train"] <= 700
    assert 3 * counts["test_s"] >= 180 and 3 * counts["test_u"] >= 90


def test_without_one_modality_little_can_be_reached():
    """Of the whole data, whose pictures are not needed: the first second's mask of each thing is enough."""
    floors = refavs_floors([sample for split in ("train", "test_s", "test_u") for sample in samples(split)])
    assert {*floors} == {*SIGHTED, *SIGHTLESS}
    for name, score in floors.items():
        assert (25 if name in SIGHTED else 5) < score < (42 if name in SIGHTED else 28), floors


def samples(split: str) -> list[WrittenSample]:
    """The truth of a split, with the disc around each thing as its mask."""
    written = []
    for index in range(generator_of("refavs").counts[split]):
        rng = np.random.default_rng([1, SPLITS.index(split), index])
        scene = random_scene(rng, novel=split == "test_u")
        rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
        truth = []
        for number in targets(scene.actors):
            thing = scene.video.moments[0].things[number]
            mask = np.hypot(columns - thing.x, rows - thing.y) < thing.size / 2
            truth.append(tuple(Referral(scene.actors, refer(rng, scene.actors, number), number, mask)))
        written.append(WrittenSample(split, "", {}, truth))
    return written


def test_floors_are_those_of_the_truth():
    first, last = Voice(0, 5), Voice(5, 10)
    trio = [("checks", "red", first), ("dots", "red", last), ("grid", "red", None), ("dots", "blue", last)]
    actors = tuple(Actor("Disc", *look) for look in trio)

    def mask(column: int) -> np.ndarray:
        pixels = np.zeros((4, 4), dtype=bool)
        pixels[:, column] = True
        return pixels

    def sample(split: str, *meant: tuple[str, int]) -> WrittenSample:
        truth = [
            tuple(Referral(actors, Reference(manner, actors[number].color), number, mask(number)))
            for manner, number in meant
        ]
        return WrittenSample(split, "", {}, truth)

    train = sample("train", ("first", 0), ("first", 0), ("last", 1), ("silent", 2))
    floors = refavs_floors([train, sample("test_s", ("first", 0)), sample("test_u", ("last", 1)), sample("test_n")])
    # The color leaves three things, and that it is that of three can be seen without words.
    assert floors["sees and reads, hears nothing"] == pytest.approx(100 / 3)
    assert floors["only sees"] == pytest.approx(100 / 3)
    # In training, the first thing was meant most often: right for the first, wrong for the last.
    assert floors["sees and hears, reads nothing"] == 50.0
    # Of the first, column 0 in training; of the last, column 1.
    assert floors["hears and reads, sees nothing"] == 100.0


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
        texts = [refer(rng, scene.actors, number).word(rng) for number in targets(scene.actors)]
        texts.append(refer_to_nothing(rng, scene.actors).word(rng))
        digest.update("\n".join(texts).encode())
    assert digest.hexdigest()[:16] == "f8692f39a877584a"
