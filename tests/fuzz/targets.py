"""What is fuzzed: for each reader of foreign files some valid ones, and how one is read, all the way to its use."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import valid_files


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: the test's.
        file: where the file lies in a folder of its own.
        valid: makes files that are read without an error.
        read: reads what lies in the folder, and uses it.
        repair: makes lengths and checksums right again, so that what is behind them is reached too.
    """

    name: str
    file: str
    valid: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    repair: Callable[[bytes], bytes] | None = None

    @cached_property
    def seeds(self) -> list[bytes]:
        """The valid files."""
        return self.valid()

    def take(self, folder: Path, content: bytes) -> None:
        """Reads `content` as the file."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.read(folder)


def inside(root: Path, path: Path) -> None:
    """Fails where a path leads out of a folder, on whatever system."""
    assert path.resolve().is_relative_to(root.resolve()), f"{path} leads out of {root}"
    assert "\0" not in str(path) and "\\" not in str(path.relative_to(root)) and ":" not in str(path.relative_to(root))


def _read_ave(folder: Path) -> None:
    from bench.datasets.ave import Release

    release_folder = folder / "AVE_Dataset"
    for name in ("trainSet.txt", "valSet.txt", "testSet.txt"):
        shutil.copyfile(release_folder / "Annotations.txt", release_folder / name)
    Release(folder, "train", problems := [])
    for problem in problems:
        assert "Annotations.txt, line " in str(problem) or "trainSet.txt" in str(problem)
    release = Release(folder, "train")
    for event in release.events:
        assert release.labels(event).shape == (10,)
        inside(folder, release.sound_path(event))
        inside(folder, release.folder / "video_frames" / event.video)


def _read_avs(folder: Path) -> None:
    from bench.datasets.avsbench import Release

    Release(folder, "train", [])
    release = Release(folder, "train")
    for video in release.videos:
        for path in (*release.frame_paths(video), *release.mask_paths(video), release.sound_path(video)):
            inside(folder, path)


def _read_refcoco(folder: Path) -> None:
    from bench.datasets import refer_entries
    from bench.datasets.refcoco import Release
    from bench.errors import DataError

    refer_entries._read.cache_clear()  # it tells files by their times, and these follow one another fast
    place = folder / "refcoco"
    for name, its in (("instances.json", valid_files.instances), ("refs(unc).p", valid_files.refs)):
        if not (place / name).exists():
            (place / name).write_bytes(its()[0])
    (folder / "images/train2014").mkdir(parents=True, exist_ok=True)
    found = Release(folder, "refcoco", "train", problems=[]).expressions
    release = Release(folder, "refcoco", "train")
    assert found == release.expressions
    wrong: list[DataError] = []
    for expression in release.expressions:
        inside(folder, release.picture_path(expression))
        try:
            assert release.mask(expression).shape == expression.size
        except DataError as error:
            wrong.append(error)
    if wrong:
        raise wrong[0]


def _read_picture(folder: Path, name: str) -> None:
    from bench.datasets import media

    size = media.image_size(folder / name, "s1")
    assert size[0] * size[1] <= media.MOST_PIXELS
    assert media.read_image(folder / name, "s1", 16).shape == (3, 16, 16)
    assert media.read_mask(folder / name, "s1", 16).shape == (16, 16)


def _read_recording(folder: Path) -> None:
    from bench.datasets import media
    from bench.datasets.logmel import log_mel

    path = folder / "a.wav"
    assert media.audio_seconds(path, "s1") <= media.MOST_SECONDS
    wave = media.read_audio(path, "s1", 16_000)
    assert np.isfinite(log_mel(media.seconds(wave, 16_000, 1), 16_000, 128, 98)).all()


def _read_safetensors(folder: Path) -> None:
    from bench.methods.base import check_tensors, read_tensors

    path = folder / "adapter.safetensors"
    saved = read_tensors(path)
    check_tensors(saved, saved, path)


def _read_suite(folder: Path) -> None:
    from bench.suite import load_suite

    suite = load_suite(str(folder / "a.toml"))
    for task in suite.tasks:
        suite.of_method("cola", task)


def _read_tuned(folder: Path) -> None:
    from bench.tuned import read_tuned, write_tuned

    tuned = read_tuned(folder / "a.toml")
    pair = ("avs", "lora")
    write_tuned(folder / "a.toml", tuned.tuning, {pair: {"lr_adapter": 0.5}}, {pair: "found"})
    assert read_tuned(folder / "a.toml").values == {**tuned.values, pair: {"lr_adapter": 0.5}}


def _read_record(folder: Path) -> None:
    from bench import api
    from bench.again import specification
    from bench.records import read, read_all
    from bench.report.write import write_leaderboard

    path = folder / "records/ave-cola-s0.json"
    for other in valid_files.RECORDS.glob("*s0*"):
        (path.parent / "other.json").write_bytes(other.read_bytes())
    record = read(path)
    write_leaderboard(folder)
    api.to_frame(read_all(folder))
    specification(record, path)


def _read_baseline(folder: Path) -> None:
    from bench.check.baseline import read
    from bench.check.compare import compare, incomparable
    from bench.check.table import markdown, terminal

    (folder / "good.json").write_bytes(valid_files.baselines()[0])
    baseline, good = read(folder / "baseline.json"), read(folder / "good.json")
    if baseline.tasks.keys() >= {"ave"} and baseline.tasks["ave"].methods.keys() >= {"lora", "cola"}:  # as asked first
        rows = compare(baseline, good, incomparable(baseline, good))
        terminal(rows, everything=True)
        markdown(rows, [])


def _read_sample_scores(folder: Path) -> None:
    from bench.samples import read

    found = read(folder, "a", "accuracy")
    assert found is None or found[0].shape == found[1].shape


TARGETS = {
    target.name: target
    for target in (
        Target("ave", "AVE_Dataset/Annotations.txt", valid_files.ave_tables, _read_ave),
        Target("avsbench", "Single-source/s4_meta_data.csv", valid_files.avs_tables, _read_avs),
        Target("coco", "refcoco/instances.json", valid_files.instances, _read_refcoco),
        Target("refer", "refcoco/refs(unc).p", valid_files.refs, _read_refcoco),
        Target(
            "png",
            "a.png",
            lambda: valid_files.pictures("PNG"),
            lambda folder: _read_picture(folder, "a.png"),
            valid_files.with_checksums,
        ),
        Target("jpeg", "a.jpg", lambda: valid_files.pictures("JPEG"), lambda folder: _read_picture(folder, "a.jpg")),
        Target("wav", "a.wav", valid_files.recordings, _read_recording),
        Target("safetensors", "adapter.safetensors", valid_files.tensors, _read_safetensors, valid_files.with_length),
        Target("suite", "a.toml", valid_files.suites, _read_suite),
        Target("tuned", "a.toml", lambda: [valid_files.TUNED.encode()], _read_tuned),
        Target("record", "records/ave-cola-s0.json", valid_files.records, _read_record),
        Target("baseline", "baseline.json", valid_files.baselines, _read_baseline),
        Target("samples", "records/a.npz", valid_files.sample_scores, _read_sample_scores),
    )
}
