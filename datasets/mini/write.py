"""The small world's videos in the layouts of the official releases of AVE, written here, and of AVSBench's S4."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np

from bench.datasets.generator import Generator, WrittenSample, encode_image, save
from bench.datasets.mini import VERSION
from bench.datasets.mini.render import pictures, waveform
from bench.datasets.mini.world import AVS_THINGS, Video, ave_video, avs_video
from bench.datasets.scenes.floors import ave_floors
from bench.datasets.scenes.s4_layout import SPLITS, Clip, Shot, encode_wav, s4_generator, video_generator


def ave_labels(video: Video) -> list[str]:
    """Return the event's category for each second, "" for background."""
    return [video.category if video.start <= s < video.end else "" for s in range(len(video.moments))]


def _write_ave_video(root: Path, seed: int, split: str, index: int) -> WrittenSample:
    rng = video_generator(seed, 0, split, index)
    video = ave_video(rng)
    name = f"{split}{index:06d}"
    digests: dict[str, str] = {}
    for number, (pixels, _) in enumerate(pictures(video), start=1):
        save(root, Path("AVE_Dataset/video_frames", name, f"{number:04d}.jpg"), encode_image(pixels, "jpeg"), digests)
    save(root, Path("AVE_Dataset/raw_audio", f"{name}.wav"), encode_wav(waveform(video, rng)), digests)
    truth = [(label, m.visible, m.audible) for label, m in zip(ave_labels(video), video.moments, strict=True)]
    return WrittenSample(split, f"{video.category}&{name}&good&{video.start}&{video.end}", digests, truth)


def _write_ave_annotations(root: Path, videos: list[WrittenSample]) -> dict[str, str]:
    lines = {split: [video.line for video in videos if video.split == split] for split in SPLITS}
    files = {f"{split}Set.txt": lines[split] for split in SPLITS}
    files["Annotations.txt"] = ["Category&VideoID&Quality&StartTime&EndTime", *chain.from_iterable(lines.values())]
    digests: dict[str, str] = {}
    for name, content in files.items():
        save(root, Path("AVE_Dataset", name), ("\n".join(content) + "\n").encode(), digests)
    return digests


def _clip(rng: np.random.Generator, split: str) -> Clip:
    video = avs_video(rng, still=split == "train")
    drawn = pictures(video)
    shots = [
        Shot(pixels, masks[moment.visible.index(video.category)], np.logical_or.reduce(masks))
        for moment, (pixels, masks) in zip(video.moments, drawn, strict=True)
    ]
    return Clip(video.category, shots, waveform(video, rng))


# Test sets: 200 x 10 seconds of AVE, 300 x 5 frames of AVS.
AVE = Generator({"train": 400, "val": 60, "test": 200}, _write_ave_video, _write_ave_annotations, ave_floors, VERSION)
AVS = s4_generator(_clip, {"train": 1500, "val": 60, "test": 300}, AVS_THINGS, VERSION, "mini")
