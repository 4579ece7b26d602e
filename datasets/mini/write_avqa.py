"""Writes performances of the small world, and questions about them, in the layout of MUSIC-AVQA."""

from __future__ import annotations

import json
from pathlib import Path

from bench.datasets.generator import Generator, WrittenSample, encode_image, save
from bench.datasets.mini import VERSION
from bench.datasets.mini.avqa_floors import avqa_floors
from bench.datasets.mini.avqa_questions import questions
from bench.datasets.mini.avqa_world import random_performance, stage
from bench.datasets.mini.render import pictures, waveform
from bench.datasets.scenes.s4_layout import SPLITS, encode_wav, video_generator

_BENCHMARK = 3  # part of the seeds


def _write_video(root: Path, seed: int, split: str, index: int) -> WrittenSample:
    rng = video_generator(seed, _BENCHMARK, split, index)
    performance = random_performance(rng)
    chosen = questions(rng, performance)
    video = stage(rng, performance)
    name = f"{SPLITS.index(split)}{index:07d}"  # eight digits, as in the release
    digests: dict[str, str] = {}
    for number, (pixels, _) in enumerate(pictures(video), start=1):
        save(root, Path("frames", name, f"{number:06d}.jpg"), encode_image(pixels, "jpeg"), digests)
    save(root, Path("audio", f"{name}.wav"), encode_wav(waveform(video, rng)), digests)
    entries = [
        {
            "video_id": name,
            "question_id": 10 * index + number,
            "type": json.dumps(question.template.kind),
            "question_content": question.template.text,
            "templ_values": json.dumps(question.values),
            "question_deleted": 0,
            "anser": question.answer,  # as the release spells it
        }
        for number, question in enumerate(chosen)
    ]
    return WrittenSample(split, json.dumps(entries), digests, [(question, performance) for question in chosen])


def _write_annotations(root: Path, videos: list[WrittenSample]) -> dict[str, str]:
    digests: dict[str, str] = {}
    answers = {entry["anser"] for video in videos if video.split == "train" for entry in json.loads(video.line)}
    for split in SPLITS:
        entries = [entry for video in videos if video.split == split for entry in json.loads(video.line)]
        # Of a few videos, questions may have answers that no training question has, which readers refuse.
        entries = [entry for entry in entries if entry["anser"] in answers]
        save(root, Path("json", f"avqa-{split}.json"), json.dumps(entries, indent=1).encode(), digests)
    return digests


# 2,295, 336 and 647 questions of seed 0.
AVQA = Generator({"train": 420, "val": 60, "test": 120}, _write_video, _write_annotations, avqa_floors, VERSION)
