"""The dataset of MUSIC-AVQA: its official release, with where to get it, its license and its counts.

Nothing heavy is imported, as in `releases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets.base import Card, Dataset, Progress
from bench.datasets.releases import ON_YOUTUBE

if TYPE_CHECKING:
    from bench.datasets.generator import Generator
    from bench.datasets.verify.report import Report

_LAYOUT = """\
json/avqa-train.json, avqa-val.json, avqa-test.json    the questions, as they are released: a list of objects
  video_id, question_id, question_deleted; question_content, with placeholders, and anser (sic)
  type, templ_values                       lists as JSON within text; templ_values fill the placeholders in, in order
video/<video id>.mp4                       as released, real and synthetic; from these the authors' scripts make, and
                                           `bench data prepare avqa` in another folder:
frames/<video id>/000001.jpg ...           one a second, ordered by number
audio/<video id>.wav                       any sample rate, mono or stereo"""


class AVQA(Dataset):
    """MUSIC-AVQA, audio-visual question answering."""

    card = Card(
        title="MUSIC-AVQA, audio-visual question answering",
        paper='Li et al., "Learning to Answer Questions in Dynamic Audio-Visual Scenarios", CVPR 2022, '
        "https://arxiv.org/abs/2203.14072",
        pages=("https://gewu-lab.github.io/MUSIC-AVQA", "https://github.com/GeWu-Lab/MUSIC-AVQA"),
        license=ON_YOUTUBE,
        layout=_LAYOUT,
        counts={
            "train": {"questions": 32_087},
            "val": {"questions": 4_595},
            "test": {"questions": 9_185},
            "all": {"questions": 45_867, "videos": 9_288, "answers": 42},
        },
        required=(
            ("json/avqa-train.json", "MUSIC-AVQA/json/avqa-train.json"),
            ("frames", "MUSIC-AVQA/frames"),
            ("audio", "MUSIC-AVQA/audio"),
        ),
    )
    benchmarks = ("MUSIC-AVQA",)
    metric = "accuracy"

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check questions, frames and sounds, or the videos if these are not extracted yet."""
        from bench.datasets.verify.avqa import walk

        return walk(root, report, progress, quick)

    def generator(self) -> Generator:
        """Return the generator of the embedded videos and questions."""
        from bench.datasets.mini import write_avqa

        return write_avqa.AVQA

    def floors(self, root: Path) -> Mapping[str, float]:
        """Return the accuracy of the most frequent answer, to any question and to each text of a question."""
        from bench.datasets import avqa, chance

        train, test = (avqa.Release(root, split, problems=[]).questions for split in ("train", "test"))
        answers, test_answers = ([question.answer for question in questions] for questions in (train, test))
        texts, test_texts = ([question.text for question in questions] for questions in (train, test))
        return {
            "constant answer": chance.accuracy(answers, test_answers),
            "most frequent answer to the text": chance.accuracy(answers, test_answers, (texts, test_texts)),
        }

    def extract(self, root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
        """Extract the frames and the sound of the released videos."""
        from bench.datasets.extract import extract_avqa

        return extract_avqa(root, out, jobs, progress)

    def advice(self, root: Path) -> str:
        """Return how to extract the videos if they are present, or else where to get them."""
        from bench.datasets.avqa import FOLDER, VIDEOS

        if any((folder / name).is_dir() for folder in (root, root / FOLDER) for name in VIDEOS):
            return (
                f"`bench data prepare avqa --root {root} --out DIR` extracts it from the videos; then --data-root DIR"
            )
        return super().advice(root)
