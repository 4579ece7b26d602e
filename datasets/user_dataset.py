"""Checks and floors of a user's own data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets.base import Dataset, Progress
from bench.datasets.user_data import examine_user_data, read_user_data
from bench.datasets.user_samples import SPLITS, Sample

if TYPE_CHECKING:
    from bench.datasets.verify.report import Faults, Report

_SIDE = 16  # pixels to which decoded images are resized


class UserDataset(Dataset):
    """A CSV or folders of images. The floor is the accuracy of the most frequent label."""

    metric = "accuracy"

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> None:
        """Read every row, and every image and recording: with `quick` their headers only."""
        from bench.datasets import media
        from bench.datasets.verify.media import check_all

        data = examine_user_data(root, ())
        report.take((*data.problems, *data.faults))
        counts = Counter(sample.split for sample in data.samples)
        report.counts = {split: {"samples": counts[split]} for split in SPLITS}
        report.remarks += [f"column {name} is not read" for name in data.ignored]
        report.remarks += [f"{path} is in {' and '.join(splits)}" for path, splits in data.shared_media().items()]

        def check(sample: Sample, faults: Faults) -> int:
            for path in data.media([sample], ["image"]):
                read = media.image_size if quick else lambda path, name: media.read_image(path, name, _SIDE)
                faults.attempt(lambda path=path, read=read: read(path, sample.name))  # type: ignore[misc]
            for path in data.media([sample], ["audio"]):
                read_sound = media.audio_seconds if quick else media.decode_audio
                faults.attempt(lambda path=path, read=read_sound: read(path, sample.name))  # type: ignore[misc]
            return sum(1 for _ in data.media([sample]))

        check_all(data.samples, check, report, progress, "sample")

    def floors(self, root: Path) -> Mapping[str, float]:
        """Return the test accuracy of the training split's most frequent label."""
        data = read_user_data(root, ["label"])
        counts = Counter(sample.label for sample in data.samples_of("train"))
        label = min(counts, key=lambda name: (-counts[name], name))
        test = data.samples_of("test")
        return {"most frequent label": 100 * sum(sample.label == label for sample in test) / len(test)}
