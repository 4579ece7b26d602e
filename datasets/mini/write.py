"""Writes the small world's videos in the layouts of the official releases of AVE and of AVSBench's S4."""

from __future__ import annotations

import io
import wave
from itertools import chain
from pathlib import Path

import numpy as np

from bench.datasets.generator import Generator, WrittenSample, encode_image, save
from bench.datasets.mini import VERSION
from bench.datasets.mini.floors import ave_floors, avs_floors
from bench.datasets.mini.render import pictures, waveform
from bench.datasets.mini.sound import RATE, Wave
from bench.datasets.mini.world import Moment, Video, ave_video, avs_video

SPLITS = ("train", "val", "test")


def video_generator(seed: int, benchmark: int, split: str, index: int) -> np.random.Generator:
    """Return a random number generator for one video, so that videos can be written in any order."""
    return np.random.default_rng([seed, benchmark, SPLITS.index(split), index])


def encode_wav(samples: Wave) -> bytes:
    """Return a sound as a WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


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


def _write_avs_video(root: Path, seed: int, split: str, index: int) -> WrittenSample:
    rng = video_generator(seed, 1, split, index)
    video = avs_video(rng, still=split == "train")
    name = f"{split}{index:06d}"
    category = video.category.lower().replace(", ", "_").replace(" ", "_")
    folder = Path("Single-source/s4_data")
    digests: dict[str, str] = {}
    truth = []
    shots: dict[Moment, bytes] = {}
    for number, (moment, (pixels, masks)) in enumerate(zip(video.moments, pictures(video), strict=True), start=1):
        image_name = Path(split, category, name, f"{name}_{number}.png")
        if moment not in shots:
            shots[moment] = encode_image(pixels, "png")
        save(root, folder / "visual_frames" / image_name, shots[moment], digests)
        sounding = masks[moment.visible.index(video.category)]
        if number == 1 or split != "train":  # the release annotates only the first frame of a training video
            save(root, folder / "gt_masks" / image_name, encode_image(sounding, "png"), digests)
            truth.append((sounding, np.logical_or.reduce(masks)))
    save(root, folder / "audio_wav" / split / category / f"{name}.wav", encode_wav(waveform(video, rng)), digests)
    return WrittenSample(split, f"{name},{index},{category},{split}", digests, truth)


def _write_avs_annotations(root: Path, videos: list[WrittenSample]) -> dict[str, str]:
    digests: dict[str, str] = {}
    lines = ["name,video_id,category,split", *(video.line for video in videos)]
    save(root, Path("Single-source/s4_meta_data.csv"), ("\n".join(lines) + "\n").encode(), digests)
    return digests


# Test sets: 200 x 10 seconds of AVE, 300 x 5 frames of AVS.
AVE = Generator({"train": 400, "val": 60, "test": 200}, _write_ave_video, _write_ave_annotations, ave_floors, VERSION)
AVS = Generator({"train": 1500, "val": 60, "test": 300}, _write_avs_video, _write_avs_annotations, avs_floors, VERSION)
