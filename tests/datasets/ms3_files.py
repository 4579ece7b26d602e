"""Synthetic videos in the layout of AVSBench's MS3, which has no generated data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.datasets.generator import Generator, WrittenSample, encode_image, save
from bench.datasets.mini.render import pictures, waveform
from bench.datasets.mini.world import AVS_SECONDS, AVS_SIZES, AVS_THINGS, CATEGORIES, TASKS, Style, Video, moment
from bench.datasets.scenes.s4_layout import encode_wav, video_generator


def ms3_video(rng: np.random.Generator, style: Style = TASKS) -> Video:
    """Return a video of four objects of different categories: two sound in the first second, zero to two in others."""
    names = [str(name) for name in rng.choice(CATEGORIES, AVS_THINGS, replace=False)]
    sounding = [2, *rng.integers(0, 3, AVS_SECONDS - 1).tolist()]
    moments = tuple(moment(rng, names, names[:count], style, AVS_SIZES) for count in sounding)
    return Video(moments, "", 0, AVS_SECONDS)


def _write_ms3_video(root: Path, seed: int, split: str, index: int) -> WrittenSample:
    rng = video_generator(seed, 3, split, index)
    video = ms3_video(rng)
    name = f"{split}{index:06d}"
    folder = Path("Multi-sources/ms3_data")
    digests: dict[str, str] = {}
    for number, (shown, (pixels, masks)) in enumerate(zip(video.moments, pictures(video), strict=True), start=1):
        sounding = np.zeros_like(masks[0])
        for category in shown.audible:
            sounding |= masks[shown.visible.index(category)]
        shot = folder / "visual_frames" / name / f"{name}.mp4_{number}.png"
        save(root, shot, encode_image(pixels, "png"), digests)
        save(root, folder / "gt_masks" / split / name / f"{name}_{number}.png", encode_image(sounding, "png"), digests)
    save(root, folder / "audio_wav" / split / f"{name}.wav", encode_wav(waveform(video, rng)), digests)
    return WrittenSample(split, f"{name},{split}", digests, [])


def _write_ms3_annotations(root: Path, videos: list[WrittenSample]) -> dict[str, str]:
    digests: dict[str, str] = {}
    lines = ["video_id,split", *(video.line for video in videos)]
    save(root, Path("Multi-sources/ms3_meta_data.csv"), ("\n".join(lines) + "\n").encode(), digests)
    return digests


MS3 = Generator({"train": 300, "val": 60, "test": 60}, _write_ms3_video, _write_ms3_annotations)
