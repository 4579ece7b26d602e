r"""MUSIC-AVQA, audio-visual question answering (Li et al., CVPR 2022), in the layout of its official release.

The release's folder contains json/avqa-{train,val,test}.json and each video's frames and sound, as the authors' scripts
extract them: frames/<video id>/<number>.jpg (or .jpeg, .png), one a second, and audio/<video id>.wav. A question is an
object with the keys of `KEYS`; `type` and `templ_values` are lists in JSON, as text:

    {"video_id": "00000123", "question_id": 4, "type": "[\"Audio\", \"Counting\"]",
     "question_content": "Is there a <Object> sound?", "templ_values": "[\"cello\"]", "question_deleted": 0,
     "anser": "yes"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media, pictures
from bench.datasets.avqa_types import TYPES
from bench.datasets.layout import is_plain, locate, none_usable, note, unreadable
from bench.errors import DataError
from bench.files import MEBIBYTE, read_json

FOLDER = "MUSIC-AVQA"
QUESTIONS = "json/avqa-{split}.json"
SPLITS = ("train", "val", "test")
FRAMES, SOUNDS = "frames", "audio"
VIDEOS = ("video", "MUSIC-AVQA-videos-Real", "MUSIC-AVQA-videos-Synthetic")
TIMINGS = "extracted"  # the folder in which `bench data prepare` records each video's timing
MAX_SECONDS = 60  # of a video, of which the release has one minute

KEYS = ("video_id", "question_id", "type", "question_content", "templ_values", "anser")
"""The keys that every question must have; `anser` is the release's spelling."""

MAX_JSON_BYTES = 24 * MEBIBYTE  # 32,087 training questions as long as those of validation have 8
MAX_CHARACTERS = 1_000  # of a question, a value or an answer; the longest question of validation has 87

_PLACEHOLDER = re.compile(r"<[^<>]*>")


@dataclass(frozen=True)
class Question:
    """One sample: a question about a video.

    Attributes:
        video: The video's id.
        number: The question's id, which is not unique in the release.
        kind: The index of its type in `TYPES`.
        text: The question, with its placeholders filled in.
        answer: The answer.
    """

    video: str
    number: int
    kind: int
    text: str
    answer: str

    @property
    def name(self) -> str:
        """The question's name in messages."""
        return f"question {self.number} of video {self.video}"


class Release:
    """One split of the release.

    Args:
        root: The folder that contains json, frames and audio, or one above it that contains it as MUSIC-AVQA.
        split: "train", "val" or "test".
        times: Number of seconds of a video, spread evenly, that are read.
        problems: A list that collects the errors of invalid questions, which are then skipped; None to raise the first.

    Attributes:
        answers: All answers to training questions, sorted. An answer of another split that is not among them is an
            error, as no model can give it.
        questions: The samples of the split, in the order of its file, without deleted ones.
        file: The file of the split's questions.
        deleted: Number of questions that are marked as deleted.
        left_out: Errors of invalid questions of the split, if `problems` is given.

    Raises:
        DataError: A file of questions is missing, or a question is invalid.
    """

    def __init__(self, root: Path, split: str, times: int = 10, problems: list[DataError] | None = None) -> None:
        training = QUESTIONS.format(split="train")
        self.folder = locate(root, FOLDER, training)
        self.file, self.times = self.folder / QUESTIONS.format(split=split), times
        self.left_out: list[DataError] = []
        split_problems = None if problems is None else self.left_out
        self.questions, self.deleted = read_questions(self.file, split_problems)
        train = self.questions
        if split != "train":
            train, _ = read_questions(self.folder / training, problems)
        self.answers = tuple(sorted({question.answer for question in train}))
        known = {*self.answers}
        unknown = [question for question in self.questions if question.answer not in known]
        for question in unknown:
            message = f"anser {question.answer!r} is not the answer to any question in {training}"
            note(DataError(f"{self.file}: {question.name}: {message}"), split_problems)
        if unknown:
            self.questions = [question for question in self.questions if question.answer in known]
        if not self.questions:
            raise none_usable(self.file, "questions", self.left_out)
        if problems is not None:
            problems += self.left_out

    def frames(self, question: Question, size: int) -> NDArray[np.uint8]:
        """Return a frame of each of the seconds: (times, 3, size, size)."""
        return np.stack([media.read_image(path, question.name, size) for path in self.frame_paths(question)])

    def waves(self, question: Question, rate: int, window_s: float | None = None) -> NDArray[np.float32]:
        """Return the sound of each of the seconds separately: (times, samples).

        Args:
            question: The sample.
            rate: Sample rate to which the sound is resampled, in Hz.
            window_s: Length in seconds of the windows (`media.windows`) that represent the seconds; None to use the
                seconds themselves.
        """
        wave = media.read_audio(self.sound_path(question.video), question.name, rate)
        if window_s is not None:
            return media.windows(wave, rate, self.times, window_s)
        count = max(self.times, round(len(wave) / rate))
        return media.seconds(wave, rate, count)[spread(count, self.times)]

    def files(self) -> Iterator[Path]:
        """Yield the files of the split, questions and media; a frames folder itself if it has no frames."""
        yield self.folder / QUESTIONS.format(split="train")
        yield self.file
        for video in self.videos():
            yield from pictures.numbered(self.folder / FRAMES / video) or [self.folder / FRAMES / video]
            yield self.sound_path(video)

    def videos(self) -> list[str]:
        """Return the ids of the videos with questions in the split, in the order of their first questions."""
        return list(dict.fromkeys(question.video for question in self.questions))

    def frame_paths(self, question: Question) -> list[Path]:
        """Return the file of each second's frame; files repeat if there are fewer frames than seconds.

        Raises:
            DataError: There are no frames.
        """
        folder = self.folder / FRAMES / question.video
        if not (paths := pictures.numbered(folder)):
            raise DataError(f"sample {question.name}: no frames ({', '.join(pictures.ENDINGS)}) in {folder}")
        return [paths[index] for index in spread(len(paths), self.times)]

    def sound_path(self, video: str) -> Path:
        """Return the file of a video's sound."""
        return self.folder / SOUNDS / f"{video}.wav"


def video_path(folder: Path, video: str) -> Path:
    """Return the file of a released video, in the first of the folders `VIDEOS` that has it."""
    paths = [folder / name / f"{video}.mp4" for name in VIDEOS]
    return next((path for path in paths if path.is_file()), paths[0])


def seconds_of(length: float) -> int:
    """Return how many seconds of a video of this length, in seconds, are extracted."""
    return int(min(max(round(length), 1), MAX_SECONDS))


def spread(count: int, times: int) -> list[int]:
    """Return the indices, spread evenly, of `times` seconds out of `count`."""
    return ((np.arange(times) + 0.5) * count / times).astype(int).tolist()


def read_questions(path: Path, problems: list[DataError] | None = None) -> tuple[list[Question], int]:
    """Return the questions of a file, without deleted ones, and the number of deleted ones.

    Args:
        path: The file.
        problems: A list that collects the errors of invalid questions, which are then skipped; None to raise the first.

    Raises:
        DataError: The file cannot be read, or contains no valid question.
    """
    try:
        entries = read_json(path, MAX_JSON_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable(path, "JSON", error) from error
    if not isinstance(entries, list):
        raise DataError(f"{path}: expected a list of questions, found {_shown(entries)}")
    questions, deleted, before = [], 0, len(problems or ())
    for place, entry in enumerate(entries, start=1):
        try:
            if isinstance(entry, dict) and entry.get("question_deleted") in (1, True):
                deleted += 1
                continue
            questions.append(_question(entry))
        except ValueError as error:
            note(DataError(f"{path}: {_name(entry, place)}: {error}"), problems)
    if not questions:
        raise none_usable(path, "questions", (problems or [])[before:])
    return questions, deleted


def _question(entry: Any) -> Question:
    """Return the question of an entry.

    Raises:
        ValueError: The entry is invalid; the message names the key.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"expected an object with the keys {', '.join(KEYS)}")
    if absent := [key for key in KEYS if key not in entry]:
        raise ValueError(f"the key {absent[0]} is missing; it has {', '.join(map(_shown, list(entry)[:10]))}")
    video, number, answer = entry["video_id"], entry["question_id"], entry["anser"]
    if not isinstance(video, str) or not is_plain(video):
        raise ValueError(f"video_id is {_shown(video)}, expected text without slashes")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise ValueError(f"question_id is {_shown(number)}, expected a whole number")
    if entry.get("question_deleted", 0) not in (0, False):
        raise ValueError(f"question_deleted is {_shown(entry['question_deleted'])}, expected 0 or 1")
    kind = tuple(_texts(entry, "type"))
    if kind not in TYPES:
        known = "; ".join(json.dumps(known) for known in TYPES)
        raise ValueError(f"type is {_shown(entry['type'])}, expected one of: {known}")
    if not _is_text(answer):
        raise ValueError(f"anser is {_shown(answer)}, expected text")
    return Question(video, number, TYPES.index(kind), _filled(entry), answer.strip())


def _filled(entry: dict[str, Any]) -> str:
    """Return the question with its placeholders filled in, in order; an underscore in a value becomes a space."""
    content, values = entry["question_content"], _texts(entry, "templ_values")
    if not _is_text(content):
        raise ValueError(f"question_content is {_shown(content)}, expected text")
    placeholders = _PLACEHOLDER.findall(content)
    if len(placeholders) != len(values):
        raise ValueError(
            f"question_content {_shown(content)} has {len(placeholders)} placeholders, but templ_values "
            f"{_shown(entry['templ_values'])} has {len(values)} values"
        )
    remaining = iter(values)
    text = _PLACEHOLDER.sub(lambda _: next(remaining).replace("_", " "), content)
    return " ".join(text.replace("\uff1f", "?").split())  # a full-width question mark occurs in the release


def _texts(entry: dict[str, Any], key: str) -> list[str]:
    """Return the list of texts that a key has as JSON within text."""
    try:
        values = json.loads(entry[key])
        if isinstance(values, list) and all(map(_is_text, values)):
            return values
    except (TypeError, ValueError, RecursionError):
        pass
    raise ValueError(f"{key} is {_shown(entry[key])}, expected text: a list of texts as JSON, such as '[\"Audio\"]'")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= MAX_CHARACTERS and value.isprintable()


def _name(entry: Any, place: int) -> str:
    """Return an invalid entry's name: its place in the file, and its ids if it has any."""
    ids = [f"{key} {_shown(entry[key])}" for key in KEYS[:2] if isinstance(entry, dict) and key in entry]
    return ", ".join([f"entry {place}", *ids])


def _shown(value: Any) -> str:
    """Return a value for a message in JSON's words, shortened."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
