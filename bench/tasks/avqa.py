"""MUSIC-AVQA: the answer to a question about what is seen and heard in a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets.avqa_types import AUDIO, AUDIO_VISUAL, TYPES, VISUAL
from bench.tasks.base import Samples, Task

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.avqa import Release
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head


def _metric(*words: str) -> str:
    return "_".join(words).lower().replace("-", "_")


_GROUPS = {_metric(about): about for about in (AUDIO, VISUAL, AUDIO_VISUAL)}
_TYPES = {_metric(*kind): kind for kind in TYPES}


@dataclass
class AVQA(Task):
    """Audio-visual question answering: the answer to a question about a video.

    Li et al., "Learning to Answer Questions in Dynamic Audio-Visual Scenarios", CVPR 2022. The answers are those of the
    training split. Head: in each second, sound and question attend to the picture, and the question attends to the
    seconds (`QuestionHead`). Loss: cross-entropy.

    Attributes:
        hidden: Features of the head.
        times: Seconds of a video that are seen and heard, spread evenly over it.
        augmentation: Whether pictures of training batches are relit.
    """

    hidden: int = 256
    times: int = 10
    augmentation: bool = True

    benchmark = "MUSIC-AVQA"
    layout = "avqa"
    modalities = {"vision": "images", "audio": "sounds", "text": "text"}  # noqa: RUF012
    task_type = "visual-question-answering"
    metric = "accuracy"
    metrics = {  # noqa: RUF012
        "accuracy": "share of questions with the right answer",
        **{name: f"the same, of questions of the kind {about}" for name, about in _GROUPS.items()},
        **{name: f"the same, of questions of the type {' '.join(kind)}" for name, kind in _TYPES.items()},
    }

    def __post_init__(self) -> None:
        if self.hidden < 4 or self.hidden % 4:
            raise ValueError("hidden must be a multiple of 4")
        if not 1 <= self.times <= 60:
            raise ValueError(f"times must be from 1 to 60, not {self.times}")

    def samples(self, root: Path, split: str, inputs: Inputs) -> Samples:
        """Return questions with T = `times` seconds.

        `vision` (T, 3, size, size), `audio` (T, frames, bins) and `text` (1, tokens), the question; `answer` and
        `type`, whole numbers.
        """
        from bench.datasets.avqa import Release

        return _Questions(Release(root, split, self.times, []), inputs)

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return questions, frames and sounds."""
        from bench.datasets.avqa import Release

        return Release(root, split, self.times, []).files()

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return videos of noise with random questions and answers."""
        import torch

        media = {name: inputs[name].random(samples, self.times, generator=generator) for name in ("vision", "audio")}
        text = inputs["text"].random(samples, 1, generator=generator)
        answer = torch.randint(_ANSWERS, (samples,), generator=generator)
        return {**media, "text": text, "answer": answer, "type": answer % len(TYPES)}

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return a head for the answers of the training split."""
        from bench.tasks.avqa_head import QuestionHead

        assert samples is None or isinstance(samples, _Questions)
        answers = _ANSWERS if samples is None else len(samples.release.answers)
        return QuestionHead(widths, self.hidden, self.times, answers)

    def flaw(self, samples: Samples, read: Iterable[tuple[int, Mapping[str, Tensor]]]) -> str | None:
        """Return a message if all questions have the same answer."""
        assert isinstance(samples, _Questions)
        answers: set[int] = set()
        for number, sample in read:
            answers.add(int(sample["answer"]))
            if len(answers) > 1:
                return None
            first = samples.names[number]
        return f"all questions have the same answer, such as {first}" if answers else None

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a batch with images relit; a mirrored one or a louder second could have another answer."""
        if not self.augmentation:
            return batch
        from bench.tasks.augment import relight

        return {**batch, "vision": relight(batch["vision"], generator)}

    def loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy."""
        from torch.nn import functional as F

        return F.cross_entropy(output.float(), batch["answer"])

    def score(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whether each answer is right (B,), 0 or 100, and the question's type (B,)."""
        return {"accuracy": 100 * (output.argmax(-1) == batch["answer"]).float(), "type": batch["type"]}

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the accuracy of each question."""
        return {"accuracy": measured["accuracy"]}

    def summarize(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the accuracy over all questions, and those of each kind and type that the split has."""
        import torch

        accuracy, number = measured["accuracy"], measured["type"].long()
        scores = super().summarize(measured)
        members = {name: [kind for kind in TYPES if kind[0] == about] for name, about in _GROUPS.items()}
        members |= {name: [kind] for name, kind in _TYPES.items()}
        for name, kinds in members.items():
            chosen = torch.isin(number, torch.tensor([TYPES.index(kind) for kind in kinds], device=number.device))
            if chosen.any():
                scores[name] = accuracy[chosen].mean().item()
        return scores

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the frames of all seconds, with the question, the answer and the predicted answer."""
        from bench.tasks import draw

        assert isinstance(samples, _Questions)
        question, answers = samples.release.questions[index], samples.release.answers
        frames = [draw.enlarged(frame.transpose(1, 2, 0), 110) for frame in samples[index]["vision"]]
        row = draw.in_row(frames, 4)
        predicted = answers[int(output["output"].argmax())]
        color = draw.TRUE if predicted == question.answer else draw.PREDICTED
        texts = [
            draw.text(f"{question.name}, {' '.join(TYPES[question.kind])}", row.width),
            draw.text(question.text, row.width),
            draw.text(question.answer, row.width, draw.TRUE),
            draw.text(predicted, row.width, color),
        ]
        return draw.in_column([texts[0], row, *texts[1:]], 4)


_ANSWERS = 42  # of the official release
_MAX_VIDEO_BYTES = 64 * 2**20  # of decoded videos in memory


class _Questions(Samples):
    """The questions of a split as arrays; see `AVQA.samples`."""

    def __init__(self, release: Release, inputs: Inputs) -> None:
        from bench.streams.inputs import ImageInput, TextInput

        self.release, self.inputs = release, inputs
        self.names = [question.name for question in release.questions]
        self.groups = [question.video for question in release.questions]
        self.left_out = release.left_out
        image, text = inputs["vision"], inputs["text"]
        assert isinstance(image, ImageInput) and isinstance(text, TextInput)
        self.tokens = text.encode_short([question.text for question in release.questions])
        numbers = {answer: number for number, answer in enumerate(release.answers)}
        self.answers = [numbers[question.answer] for question in release.questions]
        self.any_of_video = {question.video: question for question in release.questions}
        # Several questions are about one video.
        self._video = lru_cache(max(2, _MAX_VIDEO_BYTES // (release.times * 3 * image.size**2)))(self._read)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        import numpy as np

        question = self.release.questions[index]
        return {
            **self._video(question.video),
            "text": self.tokens[index, None],
            "answer": np.array(self.answers[index]),
            "type": np.array(question.kind),
        }

    def _read(self, video: str) -> dict[str, np.ndarray]:
        from bench.tasks.audiovisual import video_inputs

        return video_inputs(self.release, self.any_of_video[video], self.inputs)
