from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from written import gives_fingerprint

from bench.datasets.ave import Release as Ave
from bench.datasets.avsbench import Release as AvsBench
from bench.datasets.build import build, ensure, folder
from bench.datasets.mini import unlabelled, write
from bench.datasets.mini.draw import SHAPES, TEXTURES, Background, Thing, paint, paint_background
from bench.datasets.mini.render import pictures, waveform
from bench.datasets.mini.sound import RATE, TIMBRES, Source, synthesize
from bench.datasets.mini.world import AVS_THINGS, CATEGORIES, CLASSES, ave_video, avs_video
from bench.datasets.mini.write import ave_labels


def videos(make, count=300):
    return [make(np.random.default_rng([7, index])) for index in range(count)]


def test_ave_has_background_that_no_modality_gives_away():
    seconds = [pair for video in videos(ave_video, 1500) for pair in zip(ave_labels(video), video.moments, strict=True)]
    background = np.mean([label == "" for label, _ in seconds])
    assert 0.4 < background < 0.5
    for label, moment in seconds:
        assert len(moment.visible) == len(moment.things) == len(moment.audible) == len(moment.sources) == 1
        both = set(moment.visible) & set(moment.audible)
        assert both == ({label} if label else set())
    # Every category is seen, and heard, as often with an event as without.
    for modality in ("visible", "audible"):
        for category in CATEGORIES:
            among = [bool(label) for label, moment in seconds if category in getattr(moment, modality)]
            assert abs(np.mean(among) - (1 - background)) < 0.08


def test_avs_every_thing_is_as_likely_to_sound():
    place = [moment.visible.index(video.category) for video in videos(avs_video) for moment in video.moments]
    assert all(abs(place.count(i) / len(place) - 1 / AVS_THINGS) < 0.05 for i in range(AVS_THINGS))
    shares = []
    for video in videos(avs_video, 20):
        for moment, (_, masks) in zip(video.moments, pictures(video), strict=True):
            shares.append(masks[moment.visible.index(video.category)].mean())
    assert min(shares) > 0.005 and 0.03 < np.mean(shares) < 0.2


def test_objects_in_front_hide_those_behind():
    looks = {"texture": "plain", "colors": ((255, 0, 0), (0, 0, 0)), "size": 0.5, "y": 0.5, "angle": 0.0}
    behind, front = Thing(shape="disc", x=0.4, **looks), Thing(shape="square", x=0.6, **looks)
    backdrop = paint_background(Background(((0, 0, 0), (0, 0, 0)), 0, 0.0, 0), 80)
    picture, (seen_behind, seen_front) = paint([behind, front], backdrop)
    assert not (seen_behind & seen_front).any()
    _, (full,) = paint([behind], backdrop)
    assert seen_behind.sum() < full.sum()
    assert (picture[seen_front][:, 0] > 100).all()


def test_every_class_has_a_shape_and_a_sound_of_its_own():
    for values, known in zip(zip(*CLASSES.values(), strict=True), (SHAPES, TEXTURES, TIMBRES), strict=True):
        assert sorted(values) == sorted(known)


@pytest.mark.parametrize("timbre", TIMBRES)
def test_sounds_have_their_loudness(timbre):
    wave = synthesize(Source(timbre, 300.0, 0.1, 0), 2)
    assert len(wave) == 2 * RATE
    assert np.sqrt(np.mean(wave**2)) == pytest.approx(0.1, rel=1e-3)


def test_each_second_sounds_by_itself():
    video = videos(ave_video, 1)[0]
    wave = waveform(video, np.random.default_rng(0))
    assert wave.shape == (10 * RATE,) and np.abs(wave).max() <= 1
    for second, moment in enumerate(video.moments):
        rendered = sum(synthesize(source, 1) for source in moment.sources)
        window = wave[second * RATE : (second + 1) * RATE]
        assert np.corrcoef(rendered, window)[0, 1] > 0.7


def test_the_layouts_are_read_as_they_are_meant(built):
    root, manifest = built["ave"]
    assert manifest.counts == {"train": 3, "val": 1, "test": 2}
    release = Ave(root, "train")
    assert len(release.events) == 3
    root, _ = built["avs"]
    masks = AvsBench(root, "test").masks(AvsBench(root, "test").videos[0])
    video = avs_video(np.random.default_rng([0, 1, 2, 0]))
    rendered = pictures(video)
    sounding = video.moments[0].visible.index(video.category)
    assert masks[0].mean() == pytest.approx(rendered[0][1][sounding].mean(), abs=0.005)


def test_the_seed_decides_the_files(tmp_path):
    few = {"train": 2, "val": 1, "test": 1}
    prints = []
    for name, seed, workers in (("one", 3, 1), ("two", 3, 2), ("other", 4, 1)):
        (tmp_path / name).mkdir()
        manifest = build(tmp_path / name, "avs", seed, counts=few, workers=workers)
        prints.append(manifest.fingerprint)
        assert gives_fingerprint(tmp_path / name, manifest)
    assert prints[0] == prints[1] != prints[2]
    victim = next((tmp_path / "one").rglob("*.wav"))
    victim.write_bytes(victim.read_bytes()[:-2])
    assert not gives_fingerprint(tmp_path / "one", build(tmp_path / "two", "avs", 3, counts=few, workers=1))


def test_data_is_built_once_and_whole_or_not_at_all(tmp_path, monkeypatch):
    few = {"train": 1, "val": 1, "test": 1}
    monkeypatch.setattr(write, "AVS", replace(write.AVS, counts=few))

    def interrupted(written, total):
        yield next(iter(written))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(tmp_path, "avs", progress=interrupted)
    assert not folder(tmp_path, "avs", 0).exists()
    assert not list(tmp_path.rglob("*.png"))
    place, first = ensure(tmp_path, "avs")
    assert ensure(tmp_path, "avs", progress=lambda written, total: pytest.fail("built again")) == (place, first)


def test_floors_are_those_of_the_truth():
    from bench.datasets.generator import WrittenSample
    from bench.datasets.scenes.floors import ave_floors, avs_floors

    def second(split, label, sights, sounds):
        return WrittenSample(split, "", {}, [(label, sights, sounds)])

    ave = [second("train", "a", ("a", "b"), ("a", "c"))] * 3 + [second("train", "", ("a", "b"), ("c", "d"))]
    ave += [second("test", "a", ("a", "b"), ("a", "c")), second("test", "", ("a", "b"), ("c", "d"))]
    # In training "a" is most common, and guessing one of the two is right in 3/8 against background's 1/4.
    assert ave_floors(ave) == {
        "constant answer": 50.0,
        "sees all, hears nothing": 25.0,
        "hears all, sees nothing": 25.0,
    }

    def mask(*columns):
        m = np.zeros((4, 4), dtype=bool)
        m[:, list(columns)] = True
        return m

    avs = [WrittenSample("train", "", {}, [(mask(0), mask(0, 1))])] * 2
    avs += [WrittenSample("test", "", {}, [(mask(0), mask(0, 1)), (mask(1), mask(0, 1))])]
    floors = avs_floors(avs, things=4)
    assert floors["sees all, hears nothing"] == 50.0  # everything seen is twice too much
    assert floors["hears all, sees nothing"] == 50.0  # the column of training: all of one frame, none of the other


def test_the_suite_scores_at_least_a_thousand_items_a_task():
    assert write.AVE.counts["test"] * 10 >= 1000
    assert write.AVS.counts["test"] * 5 >= 1000
    assert len(CATEGORIES) >= 6


def test_unlabelled_media_are_the_same_in_any_portion():
    whole = unlabelled.pictures(0, 0, 4, 56)
    assert whole.shape == (4, 3, 56, 56)
    np.testing.assert_array_equal(whole[2:], unlabelled.pictures(0, 2, 2, 56))
    np.testing.assert_array_equal(unlabelled.sounds(0, 0, 3)[1:], unlabelled.sounds(0, 1, 2))


KNOWN = "3df4b881ce8b3178"
GENERATED = """
from hashlib import sha256
import numpy as np
from ms3_files import ms3_video
from bench.datasets.mini import render, scene, world

digest = sha256()
for make in (world.ave_video, world.avs_video, ms3_video):
    for index in range(3):
        rng = np.random.default_rng([0, index])
        video = make(rng)
        for pixels, masks in render.pictures(video):
            digest.update(pixels.tobytes() + b"".join(mask.tobytes() for mask in masks))
        digest.update((render.waveform(video, rng) * 32767).astype("<i2").tobytes())
for index in range(9):
    pixels, masks = scene.render(scene.random_scene(np.random.default_rng([1, index])))
    digest.update(pixels.tobytes() + b"".join(mask.tobytes() for mask in masks))
print(digest.hexdigest()[:16])
"""


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the Fourier transform of noise is compiled otherwise there"
)
@pytest.mark.parametrize("features", ["all", "none"])
def test_media_are_the_same_to_the_bit_on_every_processor(features):
    """Of the instructions that a processor has, and that numpy looks for, it may use all or none here."""
    disabled = "" if features == "all" else " ".join(dispatched())
    environ = os.environ | {"NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-W", "ignore", "-c", GENERATED]
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == KNOWN


def dispatched() -> list[str]:
    """Return what numpy looks for, in this version's names."""
    from numpy._core._multiarray_umath import __cpu_dispatch__

    return __cpu_dispatch__
