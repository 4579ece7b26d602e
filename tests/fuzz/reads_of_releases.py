"""Readers of a release's files, with a use of their contents."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import valid_files

_MAX_CHECKED = 1000  # samples of a file whose paths are checked


def inside(root: Path, path: Path) -> None:
    """Fail if a path leads out of a folder, on any system."""
    assert path.resolve().is_relative_to(root.resolve()), f"{path} leads out of {root}"
    assert "\0" not in str(path) and "\\" not in str(path.relative_to(root)) and ":" not in str(path.relative_to(root))


def ave(folder: Path) -> None:
    from bench.datasets.ave import Release

    release_folder = folder / "AVE_Dataset"
    for name in ("trainSet.txt", "valSet.txt", "testSet.txt"):
        if (release_folder / "Annotations.txt").is_file():
            shutil.copyfile(release_folder / "Annotations.txt", release_folder / name)
    Release(folder, "train", problems := [])
    for problem in problems:
        assert "Annotations.txt, line " in str(problem) or "trainSet.txt" in str(problem)
    release = Release(folder, "train")
    for event in release.events[:_MAX_CHECKED]:
        assert release.labels(event).shape == (10,)
        inside(folder, release.sound_path(event))
        inside(folder, release.folder / "video_frames" / event.video)


def avs(folder: Path) -> None:
    from bench.datasets.avsbench import Release

    Release(folder, "train", [])
    release = Release(folder, "train")
    for video in release.videos[:_MAX_CHECKED]:
        for path in (*release.frame_paths(video), *release.mask_paths(video), release.sound_path(video)):
            inside(folder, path)


def refavs(folder: Path) -> None:
    from bench.datasets.refavs import SPLITS, Release

    for split in SPLITS:
        Release(folder, split, problems := [])
        for problem in problems:
            assert "metadata.csv, line " in str(problem) or f"no row has the split {split}" in str(problem)
    releases = [Release(folder, split, []) for split in SPLITS]
    for release in releases:
        for expression in release.expressions[:_MAX_CHECKED]:
            assert expression.text.isprintable() and expression.object_id >= 0
            media = (*release.frame_paths(expression), release.sound_path(expression))
            for path in (*media, *release.mask_paths(expression)):
                inside(folder, path)


def user_data(folder: Path) -> None:
    from bench.datasets import user_data as reader

    reader._read_csv.cache_clear()  # it identifies files by their times, and these files follow one another too fast
    data = reader.read_user_data(folder / "a.csv", ["label"])
    for problem in data.problems:
        assert "a.csv, line " in str(problem)
    assert {sample.split for sample in data.samples} == {"train", "val", "test"}
    for path in data.media(data.samples[:_MAX_CHECKED]):
        inside(folder, path)


def refcoco(folder: Path) -> None:
    from bench.datasets import refer_entries
    from bench.datasets.refcoco import Release
    from bench.errors import DataError

    refer_entries._read.cache_clear()  # it identifies files by their times, and these files follow one another too fast
    place = folder / "refcoco"
    for name, valid in (("instances.json", valid_files.instances), ("refs(unc).p", valid_files.refs)):
        if not os.path.lexists(place / name):
            (place / name).write_bytes(valid()[0])
    (folder / "images/train2014").mkdir(parents=True, exist_ok=True)
    expressions = Release(folder, "refcoco", "train", problems=[]).expressions
    release = Release(folder, "refcoco", "train")
    assert expressions == release.expressions
    wrong: list[DataError] = []
    for expression in release.expressions:
        inside(folder, release.picture_path(expression))
        try:
            assert release.mask(expression).shape == expression.size
        except DataError as error:
            wrong.append(error)
    if wrong:
        raise wrong[0]


def avqa(folder: Path) -> None:
    from bench.datasets.avqa import Release
    from bench.datasets.avqa_types import TYPES

    Release(folder, "train", problems=(problems := []))
    for problem in problems:
        assert "avqa-train.json: " in str(problem) and str(problem).isprintable()
    release = Release(folder, "train")
    for question in release.questions[:_MAX_CHECKED]:
        assert question.answer in release.answers and 0 <= question.kind < len(TYPES)
        assert question.text.isprintable()
        inside(folder, release.sound_path(question.video))
        inside(folder, release.folder / "frames" / question.video)


def png(folder: Path) -> None:
    _picture(folder, "a.png")


def jpeg(folder: Path) -> None:
    _picture(folder, "a.jpg")


def _picture(folder: Path, name: str) -> None:
    from bench.datasets import media

    size = media.image_size(folder / name, "s1")
    assert size[0] * size[1] <= media.MAX_PIXELS
    assert media.read_image(folder / name, "s1", 16).shape == (3, 16, 16)
    assert media.read_mask(folder / name, "s1", 16).shape == (16, 16)


def stamp(folder: Path) -> None:
    from bench.datasets.natural import media, things

    pixels = media.read_stamp(folder, "a")
    assert pixels.ndim == 3 and pixels.shape[2] == 4 and 0 < max(pixels.shape[:2]) <= 400
    assert things.is_photograph(pixels) in (True, False)


def stamp_name(folder: Path) -> None:
    from bench.datasets.natural import media, things

    title = things.title_of("animals/birds/a", media.text_of(folder, "a"))
    assert title.isprintable() and "\n" not in title
    assert things.noun_of(title) == title or title.endswith(things.noun_of(title))


def call(folder: Path) -> None:
    from bench.datasets.natural import things
    from bench.datasets.scenes.s4_layout import RATE

    things._recording.cache_clear()  # by the name of the stamp, which all these files have
    wave = things.call_of(folder, "a")
    assert np.isfinite(wave).all()
    if len(wave):
        second = things.loud_second(wave, 0.5)
        assert second.shape == (RATE,) and np.isfinite(second).all()


def recording(folder: Path) -> None:
    from bench.datasets import media
    from bench.streams.inputs.log_mel import log_mel

    path = folder / "a.wav"
    assert media.audio_seconds(path, "s1") <= media.MAX_AUDIO_SECONDS
    wave = media.read_audio(path, "s1", 16_000)
    assert np.isfinite(log_mel(media.seconds(wave, 16_000, 1), 16_000, 128, 98)).all()


def video(folder: Path) -> None:
    from bench.datasets import media, videos

    path = folder / "a.mp4"
    assert videos.length(path, "s1") < 1e12
    clip = videos.read_clip(path, "s1", 10)
    assert media.RATES[0] <= clip.rate <= media.RATES[1] and clip.wave.shape == (10 * clip.rate,)
    assert np.isfinite(clip.wave).all()
    pictures = videos.read_frames(path, "s1", clip.places)
    assert len(pictures) == 10 and all(picture.width * picture.height <= media.MAX_PIXELS for picture in pictures)
