"""Writes a world's videos in the layout of the official release of AVSBench's S4."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets.generator import Generator, Mask, Pixels, WrittenSample, encode_image, save
from bench.datasets.scenes.floors import avs_floors

SPLITS = ("train", "val", "test")
RATE = 16_000  # samples a second
_MEDIA = Path("Single-source/s4_data")


@dataclass(frozen=True)
class Shot:
    """One frame: its picture (height, width, 3), and the masks of the sounding object and of all objects."""

    pixels: Pixels
    sounding: Mask
    visible: Mask


@dataclass(frozen=True)
class Clip:
    """A video: the category of what sounds, its five frames, and its sound at `RATE`. A still one repeats its shot."""

    category: str
    shots: Sequence[Shot]
    wave: NDArray[np.float32]


def s4_generator(
    clip: Callable[[np.random.Generator, str], Clip], counts: Mapping[str, int], things: int, version: int, name: str
) -> Generator:
    """Return the generator of a world's videos with one sounding object.

    Args:
        clip: Returns a random video for a split.
        counts: Number of videos of each split.
        things: Number of visible objects in each frame.
        version: The version of the world's data.
        name: The name of the world.
    """
    floors = partial(avs_floors, things=things)
    return Generator(counts, partial(_write_video, clip), _write_annotations, floors, version, name)


def video_generator(seed: int, benchmark: int, split: str, index: int) -> np.random.Generator:
    """Return a random number generator for one video, so that videos can be written in any order."""
    return np.random.default_rng([seed, benchmark, SPLITS.index(split), index])


def encode_wav(samples: NDArray[np.float32]) -> bytes:
    """Return a sound at `RATE` as a WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _write_video(
    clip: Callable[[np.random.Generator, str], Clip], root: Path, seed: int, split: str, index: int
) -> WrittenSample:
    video = clip(video_generator(seed, 1, split, index), split)
    name = f"{split}{index:06d}"
    category = video.category.lower().replace(", ", "_").replace(" ", "_")
    digests: dict[str, str] = {}
    truth = []
    encoded: dict[int, bytes] = {}  # by the picture's identity: a still video is encoded once
    for number, shot in enumerate(video.shots, start=1):
        image_name = Path(split, category, name, f"{name}_{number}.png")
        if id(shot.pixels) not in encoded:
            encoded[id(shot.pixels)] = encode_image(shot.pixels, "png")
        save(root, _MEDIA / "visual_frames" / image_name, encoded[id(shot.pixels)], digests)
        if number == 1 or split != "train":  # the release annotates only the first frame of a training video
            save(root, _MEDIA / "gt_masks" / image_name, encode_image(shot.sounding, "png"), digests)
            truth.append((shot.sounding, shot.visible))
    save(root, _MEDIA / "audio_wav" / split / category / f"{name}.wav", encode_wav(video.wave), digests)
    return WrittenSample(split, f"{name},{index},{category},{split}", digests, truth)


def _write_annotations(root: Path, videos: list[WrittenSample]) -> dict[str, str]:
    digests: dict[str, str] = {}
    lines = ["name,video_id,category,split", *(video.line for video in videos)]
    save(root, Path("Single-source/s4_meta_data.csv"), ("\n".join(lines) + "\n").encode(), digests)
    return digests
