"""Audio-visual question answering (Li et al., CVPR 2022): a task with three streams, and its data."""

import json
import re
from dataclasses import dataclass

import numpy as np

from bench import Task
from bench.datasets import chance
from bench.datasets.base import Card, Dataset
from bench.datasets.generator import Generator, WrittenSample, encode_image, save, save_json
from bench.datasets.layout import is_plain
from bench.datasets.scenes.s4_layout import RATE, encode_wav
from bench.errors import DataError

FILE, SPLITS = "json/avqa-{split}.json", {"train": 32_087, "val": 4_595, "test": 9_185}  # published questions


class Questions:
    """The questions of a split. The possible answers are those of the training split."""

    def __init__(self, root, split, times=1, inputs=None):
        self.root, self.times, self.inputs, self.file = root, times, inputs, root / FILE.format(split=split)
        try:
            entries = json.loads(self.file.read_text(encoding="utf-8"))
            self.groups = [entry["video_id"] for entry in entries]
            self.names = [f"question {entry['question_id']}" for entry in entries]
            self.answers = [entry["anser"] for entry in entries]  # as the release spells it
            templates = [(entry["question_content"], iter(json.loads(entry["templ_values"]))) for entry in entries]
            self.texts = [re.sub("<.*?>", lambda _, values=values: next(values), text) for text, values in templates]
            if not all(map(is_plain, self.groups)):
                raise ValueError("a video_id is not the name of a file")
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise DataError(f"{self.file}: expected questions in the form of MUSIC-AVQA: {error!r}") from error
        train = self if split == "train" else Questions(root, "train")
        self.vocabulary = {answer: number for number, answer in enumerate(sorted({*train.answers}))}

    def __len__(self):
        return len(self.names)

    def media(self, video):
        return self.root / "frames" / video, self.root / f"audio/{video}.wav"

    def __getitem__(self, index):
        from bench.tasks.audiovisual import read_video

        text = self.inputs["text"].encode([self.texts[index]]).repeat(self.times, 0)
        video = read_video(*self.media(self.groups[index]), self.names[index], self.times, self.inputs)
        return video | {"text": text, "answer": np.array(self.vocabulary.get(self.answers[index], -1))}


@dataclass
class VQA(Task):
    """Audio-visual question answering (MUSIC-AVQA): the answer to a question about a video."""

    times: int = 10  # pictures and sounds, spread evenly over the video; the question is read with each
    benchmark, layout, task_type = "MUSIC-AVQA", "vqa", "visual-question-answering"
    modalities = {"vision": "images", "audio": "sounds", "text": "text"}  # noqa: RUF012
    metric, metrics = "accuracy", {"accuracy": "share of questions with the right answer"}

    def samples(self, root, split, inputs):
        return Questions(root, split, self.times, inputs)

    def head(self, widths, samples):
        from bench.tasks.heads import PooledOverInputs

        return PooledOverInputs(widths, 256, len(samples.vocabulary))

    def loss(self, output, batch):
        from torch.nn import functional as F

        return F.cross_entropy(output.float(), batch["answer"])

    def score(self, output, batch):
        return {"accuracy": 100 * (output.argmax(-1) == batch["answer"]).float()}


class MusicAVQA(Dataset):
    """MUSIC-AVQA: its release, checks and floors, and generated data in its layout."""

    card = Card(
        title="MUSIC-AVQA, audio-visual question answering",
        paper='Li et al., "Learning to Answer Questions in Dynamic Audio-Visual Scenarios", CVPR 2022',
        pages=("https://gewu-lab.github.io/MUSIC-AVQA",),
        license="see the page; most videos are from YouTube, under their uploaders' terms",
        layout="json/avqa-<split>.json\nframes/<video id>/000001.jpg ...    one a second\naudio/<video id>.wav",
        counts={split: {"questions": count} for split, count in SPLITS.items()},
        required=(("json/avqa-train.json",), ("frames",), ("audio",)),
    )

    def check(self, root, report, progress, quick):
        from bench.datasets.verify.media import check_all, check_video

        splits = {split: Questions(root, split) for split in SPLITS}
        report.counts = {split: {"questions": len(questions)} for split, questions in splits.items()}
        videos = {video: questions.media(video) for questions in splits.values() for video in questions.groups}
        check_all([*videos], lambda v, faults: check_video(*videos[v], v, faults, quick), report, progress, "video")
        return splits["train"].file

    def floors(self, root):
        train, test = Questions(root, "train"), Questions(root, "test")
        blind = chance.accuracy(train.answers, test.answers, (train.texts, test.texts))
        return {"constant answer": chance.accuracy(train.answers, test.answers), "reads the question only": blind}

    def generator(self):
        return Generator({"train": 48, "val": 12, "test": 24}, write_video, lambda *written: save_json(FILE, *written))


def write_video(root, seed, split, index):
    """Write a frame, a sound and a question: is the instrument both seen (by its color) and heard (by its pitch)?"""
    name, color, pitch = np.random.default_rng([seed, [*SPLITS].index(split), index]).integers(2, size=3)
    video, digests = f"{split}{index:05}", {}
    pixels = np.full((48, 48, 3), [(200, 40, 40), (40, 40, 200)][color], dtype=np.uint8)
    save(root, f"frames/{video}/000001.jpg", encode_image(pixels, "jpeg"), digests)
    phase = 2 * np.pi * (220, 880)[pitch] * np.arange(2 * RATE) / RATE
    save(root, f"audio/{video}.wav", encode_wav(0.5 * np.sin(phase)), digests)
    line = {"video_id": video, "question_id": index, "question_content": "Is the <Object> seen and heard?"}
    line |= {"templ_values": json.dumps([("ring", "star")[name]]), "anser": "yes" if name == color == pitch else "no"}
    return WrittenSample(split, json.dumps(line), digests, [])
