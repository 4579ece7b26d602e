"""Natural data, from media that are drawn here in the folders of Tux Paint's stamps."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from natural_media import NOUNS, photograph, tone, write_media, write_stamp
from PIL import Image
from written import gives_fingerprint

from bench import cli
from bench.datasets.avsbench import Release as AvsBench
from bench.datasets.build import Origin, build, ensure, folder
from bench.datasets.natural import media
from bench.datasets.natural.clip import named_things, random_clip, random_named_clip
from bench.datasets.natural.facts import CALLERS, GROUPS, LANGUAGES, LEFT_OUT, NAMES
from bench.datasets.natural.scene import SIDE, THINGS, backgrounds_of, random_scene, render
from bench.datasets.natural.things import (
    all_languages,
    call_of,
    catalogue,
    known_things,
    loud_second,
    new_things,
    noun_of,
    title_of,
)
from bench.datasets.natural.wording import MANNER
from bench.datasets.refcoco import Release as Refer
from bench.datasets.scenes.expressions import expressions
from bench.datasets.scenes.s4_layout import RATE
from bench.datasets.verify import verify
from bench.errors import DataError, UsageError

FEW = {"refcoco": {"train": 4, "val": 2, "testA": 3, "testB": 3}, "avs": {"train": 3, "val": 1, "test": 2}}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def composed(root, tmp_path_factory):
    places = {}
    for layout, counts in FEW.items():
        place = tmp_path_factory.mktemp(layout)
        places[layout] = place, build(place, layout, 0, origin=Origin(True, root), counts=counts, workers=1)
    return places


@pytest.mark.parametrize(
    ("text", "title", "noun"),
    [
        ("A dog.", "dog", "dog"),
        ("An albino peahen (a female peafowl, or peacock).", "albino peahen", "peahen"),
        ("A great blue heron.", "great blue heron", "heron"),
        ("A sea lion.", "sea lion", "sea lion"),
        ("A dumper. It carries its load in the front.", "dumper", "dumper"),
        ("A plumber\u2019s wrench.", "plumber\u2019s wrench", "wrench"),
        ("Fire! Fire! Fire!", "", ""),
        ("A flower that is covered in dew drops", "", ""),
        ("", "", ""),
    ],
)
def test_texts_become_names(text, title, noun):
    assert title_of("animals/x", text) == title
    assert noun_of(title) == noun


def test_the_table_of_facts_is_about_folders_that_are_used():
    for stamp in (*LEFT_OUT, *NAMES):
        assert any(stamp.startswith(f"{group}/") for group in GROUPS), stamp
    assert not {*LEFT_OUT} & {*NAMES}


def test_only_photographs_with_a_name_are_things(tmp_path):
    root = write_media(tmp_path)
    rng = np.random.default_rng(1)
    flat = Image.new("RGBA", (90, 90), (200, 30, 30, 255))
    write_stamp(root, "animals/birds/drawing", "A drawing.", flat)
    write_stamp(root, "animals/birds/cartoon/jay", "A jay.", photograph(rng, 90, 80))
    write_stamp(root, "animals/birds/tiny", "A wren.", photograph(rng, 40, 40))
    write_stamp(root, "animals/birds/nameless", "Look!", photograph(rng, 90, 80))
    write_stamp(root, LEFT_OUT[0], "A slug.", photograph(rng, 90, 80))
    write_stamp(root, "animals/birds/ibis", "An ibis.", photograph(rng, 90, 80), 0 * tone(300), "nomirror\n")
    write_stamp(root, "animals/birds/owl", "An owl.", photograph(rng, 90, 80), tone(300))
    write_stamp(root, "animals/birds/rooster", "A rooster.", photograph(rng, 90, 80), tone(300))
    things = {thing.title: thing for thing in catalogue(media.located(root))}
    assert {*things} == {*NOUNS["animals/birds"], *NOUNS["animals/mammals"], "ibis", "owl", "rooster"}
    assert not things["ibis"].mirrors and things["rooster"].mirrors
    calls = {name: things[name].call for name in ("ibis", "owl", "rooster", "auk")}
    expected = {"ibis": False, "owl": True, "rooster": False, "auk": False}
    assert calls == expected, "silent, the first of its kind, the second, and a noun that is not heard"
    assert things["great bustard"].noun == "bustard" and things["ant bear"].group == "animal"


def test_the_media_are_found_where_packages_have_them(root, tmp_path):
    place = tmp_path / "usr/share/tuxpaint"
    shutil.copytree(root, place)
    assert {media.located(place_or_above) for place_or_above in (tmp_path, tmp_path / "usr", place)} == {place}
    shutil.rmtree(place / "templates")
    shutil.rmtree(place / "stamps/sports")
    media.located.cache_clear()
    with pytest.raises(UsageError, match=r"not complete: stamps/sports, templates/\*\.jpg \(of .* tuxpaint-data\)"):
        media.located(tmp_path)


def test_a_broken_picture_or_call_is_named(tmp_path):
    root = write_media(tmp_path)
    (root / "stamps/animals/birds/crow.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"birds/crow: image .*crow\.png cannot be read"):
        catalogue(root)
    (root / "stamps/animals/birds/dove.ogg").write_bytes(b"OggS")
    (root / "stamps/animals/birds/finch.txt").write_bytes(b"A f\xefnch.\n")
    faults = [fault.text for fault in verify("natural", root, lambda items, total, unit: items).faults]
    assert len(faults) == 3 and "crow.png" in faults[0] and "dove.ogg" in faults[1]
    assert "finch.txt, line 1: is not UTF-8" in faults[2]


def test_what_has_no_broken_file_is_counted(tmp_path, capsys, monkeypatch):
    """In media that are found where packages install them."""
    root = write_media(tmp_path)
    monkeypatch.setattr(media, "INSTALLED", root)
    media.located.cache_clear()
    (root / "stamps/animals/birds/crow.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (root / "stamps/animals/birds/auk.ogg").write_bytes(b"OggS")
    (root / "stamps/animals/mammals/cat_desc_ca.ogg").write_bytes(b"OggS")
    (root / "templates/ground3.jpg").write_bytes(b"\xff\xd8")
    for stamp in ("dove", "egret"):
        (root / f"stamps/animals/birds/{stamp}.dat").mkdir()
    assert cli.main(["data", "verify", "natural"]) == 1
    out = capsys.readouterr().out
    assert f"natural in {root}: all 13 things, 4 with a call, 4 named, 7 backgrounds; " in out
    assert "note: not counted, since a file is broken: 6 stamps and backgrounds\n" in out
    broken = ("crow.png", "auk.ogg", "cat_desc_ca.ogg", "ground3.jpg", "dove.dat", "egret.dat")
    assert all(name in out for name in broken) and out.endswith("6 faults\n")
    assert "counts that differ" not in out


def test_media_are_neither_verified_where_there_are_none_nor_prepared(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(media, "INSTALLED", tmp_path / "nowhere")
    media.located.cache_clear()
    assert cli.main(["data", "verify", "natural"]) == 2
    assert "(with `bench data`: --root DIR)" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "natural", "--root", str(tmp_path)]) == 2
    assert "there is nothing to prepare of natural: `bench run --suite natural`" in capsys.readouterr().err


def test_media_of_something_else_are_refused(tmp_path):
    root = write_media(tmp_path)
    for path in (root / "stamps/animals/mammals").glob("*.png"):
        path.unlink()
    for path in sorted((root / "stamps/animals/birds").glob("*.png"))[2:]:
        path.unlink()
    with pytest.raises(DataError, match="too few photographs of things: 2 nouns to train with, expected at least 3"):
        catalogue(root)


def test_new_things_and_backgrounds_of_tests_are_not_in_training(root):
    things = catalogue(root)
    known, new = known_things(things), new_things(things)
    assert {*known} | {*new} == {*things} and not {thing.noun for thing in known} & {thing.noun for thing in new}
    assert len({thing.noun for thing in new}) == 4
    places = {split: {*backgrounds_of(root, split)} for split in ("train", "val", "testA", "testB", "test")}
    assert places["testA"] == places["testB"] == places["test"]
    assert not places["train"] & places["test"] and not (places["train"] | places["test"]) & places["val"]
    assert sum(len(places[split]) for split in ("train", "val", "test")) == 8
    for split, pool in (("train", known), ("testA", known), ("testB", new)):
        scenes = [random_scene(root, np.random.default_rng([7, index]), split) for index in range(10)]
        assert {item.thing for scene in scenes for item in scene.items} <= {*pool}
        assert {scene.backdrop.path for scene in scenes} <= places[split]


def test_an_expression_by_name_fits_one_thing_only_as_its_words_say(root):
    """Read without the look that it was made from: a name is a group, a noun or a title; a size is an adjective."""
    sizes = {"small": "small", "large": "large", "big": "large"}
    read = 0
    for index in range(60):
        rng = np.random.default_rng([3, index])
        scene = random_scene(root, rng, "train")
        for item in scene.items:
            for text in expressions(rng, scene, item, MANNER, 3):
                words = text.removeprefix("the ").split()
                size = sizes[words.pop(0)] if words[0] in sizes else None
                name = " ".join(words)
                fitting = [i for i in scene.items if name in i.look[:3] and size in (None, i.look[3])]
                if re.search(r"\b(left|right|top|bottom|middle|center|above|over|below|under)\b", name):
                    continue
                if name not in ("one", "thing"):
                    assert fitting == [item], text
                    read += 1
    assert read > 100


def test_most_scenes_show_two_of_a_kind(root):
    scenes = [random_scene(root, np.random.default_rng([5, index]), "train") for index in range(40)]
    alike = [THINGS - len({item.look[0] for item in scene.items}) for scene in scenes]
    assert np.mean([count > 0 for count in alike]) > 0.9
    assert any(len({item.look[1] for item in scene.items}) < THINGS for scene in scenes)


def test_masks_are_what_is_seen_of_the_things(root):
    for index in range(5):
        scene = random_scene(root, np.random.default_rng([2, index]), "train")
        pixels, masks = render(root, scene)
        empty, _ = render(root, type(scene)((), scene.backdrop))
        assert pixels.shape == (SIDE, SIDE, 3) and len(masks) == THINGS
        changed = (pixels != empty).any(axis=2)
        covered = np.logical_or.reduce(masks)
        assert sum(mask.sum() for mask in masks) == covered.sum()
        assert changed[covered].mean() > 0.95 and not changed[~covered].mean() > 0.1
        for item, mask in zip(scene.items, masks, strict=True):
            rows, columns = np.nonzero(mask)
            center = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
            assert np.abs(np.array(center) / SIDE - item.place).max() < 0.03


def test_a_recording_without_a_sample_is_silent(tmp_path, monkeypatch):
    """A damaged file may be decoded to nothing, without an error."""
    monkeypatch.setattr("bench.datasets.natural.things.read_audio", lambda *_: np.zeros(0, dtype=np.float32))
    write_stamp(tmp_path, "animals/birds/auk", "An auk.", photograph(np.random.default_rng(0), 90, 80), tone(300))
    assert len(call_of(tmp_path, "animals/birds/auk")) == 0


def test_a_second_of_a_call_is_loud(root):
    for stamp in ("animals/birds/auk", "animals/birds/hen"):  # shorter and longer than a second
        wave = call_of(root, stamp)
        assert (len(wave) < RATE) == stamp.endswith("auk")
        for chance in (0.0, 0.5, 0.999):
            second = loud_second(wave, chance)
            assert second.shape == (RATE,) and np.sqrt(np.mean(second**2)) == pytest.approx(1, rel=1e-4)


def test_the_readers_of_the_releases_read_it(composed):
    place, manifest = composed["refcoco"]
    assert gives_fingerprint(place, manifest) and manifest.counts == FEW["refcoco"] and len(manifest.media) == 64
    for split in FEW["refcoco"]:
        release = Refer(place, "refcoco", split)
        assert release.mask(release.expressions[0]).any()
    place, manifest = composed["avs"]
    assert gives_fingerprint(place, manifest)
    assert set(manifest.floors) == {"constant answer", "sees all, hears nothing", "hears all, sees nothing"}
    release = AvsBench(place, "test")
    video = release.videos[0]
    assert release.masks(video).any(axis=(1, 2)).all() and release.masks(video).shape[0] == 5
    assert np.sqrt(np.mean(release.waves(video, RATE) ** 2, axis=1)).min() > 0.03
    callers = {noun_of(noun) for nouns in NOUNS.values() for noun in nouns} & {*CALLERS}
    assert {video.category for video in release.videos} <= {noun.replace(" ", "_") for noun in callers}


def test_videos_show_large_things_with_calls_that_are_told_apart(root):
    for index in range(12):
        clip = random_clip(root, np.random.default_rng([4, index]), "train")
        assert clip.category in CALLERS
        rows, columns = np.nonzero(clip.shots[0].sounding)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 >= 0.45 * SIDE


def pitch_of(clip) -> float:
    """Return the loudest pitch of a clip, in Hz."""
    return float(np.abs(np.fft.rfft(clip.wave)).argmax() / len(clip.wave) * RATE)


def test_names_are_heard_in_languages_that_no_two_splits_share(root):
    """The pitch of a recording here is 1000 Hz, 200 more for each language, and up to 90 for a thing."""
    assert sorted(all_languages()) == sorted({*all_languages()}), "no language is in two splits"
    for split, languages in LANGUAGES.items():
        pitches = [pitch_of(random_named_clip(root, np.random.default_rng([6, index]), split)) for index in range(10)]
        spoken = {all_languages()[int((pitch - 1000 + 5) // 200)] for pitch in pitches}
        assert spoken <= {*languages} and len(spoken) > min(len(languages), 2) - 1
    clip = random_named_clip(root, np.random.default_rng(0), "test")
    assert clip.category in CALLERS and len(clip.shots) == 5


def test_data_with_names_is_beside_that_with_calls(root, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.datasets.natural.write._VIDEOS", {"train": 2, "val": 1, "test": 1})
    named, calls = Origin(True, root, "names"), Origin(True, root)
    assert folder(tmp_path, "avs", 0, named) == tmp_path / "natural-names-v4-seed0/avs"
    (_, of_names), (_, of_calls) = (ensure(tmp_path, "avs", origin=origin) for origin in (named, calls))
    assert of_names.fingerprint != of_calls.fingerprint and of_names.media != of_calls.media


def test_names_that_are_not_there_are_told(tmp_path):
    root = write_media(tmp_path)
    for path in root.rglob("*_desc_ca.ogg"):
        path.unlink()
    with pytest.raises(DataError, match=r"hardly any thing is named in all of bg, .*, ca \(files \*_desc_LANGUAGE"):
        named_things(root)


def test_data_is_composed_again_only_if_somebody_asks(tmp_path, monkeypatch):
    root, cache = write_media(tmp_path / "media"), tmp_path / "cache"
    monkeypatch.setattr("bench.datasets.natural.write._VIDEOS", {"train": 1, "val": 1, "test": 1})
    origin = Origin(True, root)
    place, manifest = ensure(cache, "avs", origin=origin)
    assert place == folder(cache, "avs", 0, origin) == cache / "natural-v4-seed0/avs"
    write_stamp(root, "animals/birds/ibis", "An ibis.", photograph(np.random.default_rng(2), 90, 80))
    with pytest.raises(UsageError, match="was composed from other media than those in --data-root: delete"):
        ensure(cache, "avs", origin=origin)
    shutil.rmtree(root)
    media.located.cache_clear()
    assert ensure(cache, "avs", origin=origin) == (place, manifest), "it needs no media any more"
    with pytest.raises(UsageError, match="apt-get download tuxpaint-stamps-default tuxpaint-data"):
        ensure(tmp_path / "empty", "avs", origin=origin)


def test_a_run_without_media_or_for_a_task_without_such_data_ends_before_anything_heavy(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(media, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    media.located.cache_clear()
    run = ["run", "--suite", "mini", "--methods", "lora", "--set", "data.source=composed", "data.version=4"]
    monkeypatch.setitem(__import__("sys").modules, "bench.execution.single_run", None)
    assert cli.main([*run, "--tasks", "avs", "--results", str(tmp_path / "results")]) == 2
    assert "`apt-get download tuxpaint-stamps-default tuxpaint-data`" in capsys.readouterr().err
    assert cli.main([*run, "--tasks", "ave", "--results", str(tmp_path / "results")]) == 2
    assert "no data is composed in the layout ave" in capsys.readouterr().err
    names = ["--tasks", "refcoco", "--set", "data.source=composed", "data.sounds=names"]
    assert cli.main(["run", "--methods", "lora", *names, "--results", str(tmp_path / "results")]) == 2
    assert "no data with data.sounds=names is composed in the layout refcoco" in capsys.readouterr().err
    assert cli.main(["run", "--methods", "lora", "--tasks", "avs", "--set", "data.sounds=names"]) == 2
    assert 'sounds is for source = "composed" only, not generated' in capsys.readouterr().err
    monkeypatch.setattr("bench.datasets.build.is_built", lambda cache, layout, seed, origin: seed == 1)
    assert cli.main([*run, "--tasks", "avs", "--worlds", "0,1", "--results", str(tmp_path / "results")]) == 2
    assert "`apt-get download" in capsys.readouterr().err, "one world that has been composed is not the other"


def test_describe_and_verify(root, capsys):
    assert cli.main(["data", "describe", "natural"]) == 0
    assert "apt-get download tuxpaint-stamps-default tuxpaint-data" in capsys.readouterr().out
    assert cli.main(["data", "verify", "natural", "--root", str(root), "--counts", "any"]) == 0
    assert "18 things, 5 with a call, 5 named, 8 backgrounds" in capsys.readouterr().out
