"""What the tasks on a user's own data share: samples of a CSV or an image folder, for any of three streams."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.errors import Mistakes
from bench.tasks.base import Samples, Task

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.user_samples import Sample, UserData
    from bench.tasks.base import Inputs

Readout = Literal["cls", "mean"]
"""The vector of a stream that the head reads: the class token (the mean if it has none), or the mean of all tokens."""

COLUMNS: Mapping[str, str] = {"vision": "image", "audio": "audio", "text": "text"}
"""The column of the data that each stream reads."""

_WINDOW = 1.0  # seconds of sound if the stream does not say

_log = logging.getLogger(__name__)


@dataclass
class OwnData(Task):
    """A task on a user's own data. The suite says which of the streams vision, audio and text it has.

    Attributes:
        reads: The vector of each stream that the head reads: its class token ("cls"; the mean if it has none), or the
            "mean" of its tokens.
        windows: Number of windows of sound per sample, spread evenly over the recording; each is encoded with the
            sample's image and text, and the head reads the mean of their vectors. A window lasts one second, or the
            audio stream's `window_s`.
        augmentation: Whether training images are relit, and sounds get random loudness.
        mirror: Whether training images are mirrored at random as well.
    """

    reads: Readout = "cls"
    windows: int = 1
    augmentation: bool = True
    mirror: bool = False

    benchmark = "own data"
    layout = "own"
    sources: ClassVar[tuple[str, ...]] = ("own",)
    modalities: ClassVar[Mapping[str, str]] = {"vision": "images", "audio": "sounds", "text": "text"}
    targets: ClassVar[tuple[str, ...]] = ()
    """Further columns that every sample must have."""

    def __post_init__(self) -> None:
        if not 1 <= self.windows <= 100:
            raise ValueError(f"windows must be from 1 to 100, not {self.windows}")

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that each stream has a column of the data."""
        if unknown := [name for name in streams if name not in COLUMNS]:
            raise ValueError(f"unknown stream {unknown[0]}: the streams of own data are {', '.join(COLUMNS)}")

    def check_data(self, root: Path, streams: Sequence[str]) -> None:
        """Check the rows of the CSV or the folders of images, and that all images and recordings exist."""
        from bench.datasets.user_data import examine_user_data
        from bench.datasets.user_samples import MEDIA

        data = examine_user_data(root, self._required(streams))
        mistakes = Mistakes()
        for problem in (*data.problems, *data.faults):
            mistakes.add(str(problem))
        used = [COLUMNS[stream] for stream in streams if COLUMNS[stream] in MEDIA]
        for sample in data.samples:
            for path in data.media([sample], used):
                if not path.is_file():
                    mistakes.add(f"{data.path}, {sample.name}: {path} does not exist")
        mistakes.raise_if_any()
        if data.ignored:
            _log.warning("%s: columns that are not read: %s", data.path, ", ".join(data.ignored))
        shared = data.shared_media()
        for name, splits in list(shared.items())[:1]:
            _log.warning(
                "%s: %s: scores may be too high, since a model may know them from training; samples of one group stay "
                "in one split",
                data.path,
                f"{name} is in {' and '.join(splits)}" + (f", and {len(shared) - 1} more files" * (len(shared) > 1)),
            )

    def samples(self, root: Path, split: str, inputs: Inputs) -> OwnSamples:
        """Return samples with T windows: `vision` (T, 3, size, size), `audio` (T, ...), `text` (T, tokens).

        `vision` and `text` are the same in all windows. T is 1 without audio. Each sample also has the task's `truth`,
        (1,) each.
        """
        data = self._read(root, tuple(inputs))
        return OwnSamples(data, split, inputs, self.windows, self.truth(data, split, inputs))

    @abstractmethod
    def truth(self, data: UserData, split: str, streams: Iterable[str]) -> dict[str, Sequence[int]]:
        """Return what the loss and the scores need of each sample of a split, by name."""

    def files(self, root: Path, split: str) -> Iterable[Path]:
        """Return the CSV, images and recordings."""
        return self._read(root, ()).files(split)

    def _read(self, root: Path, streams: Sequence[str]) -> UserData:
        from bench.datasets.user_data import read_user_data

        return read_user_data(root, self._required(streams))

    def _required(self, streams: Sequence[str]) -> list[str]:
        """Return the columns that every sample must have."""
        return [*(COLUMNS[stream] for stream in streams), *self.targets]

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return random inputs; a task adds its targets."""
        windows = self.windows if "audio" in inputs else 1
        return {name: inputs[name].random(samples, windows, generator=generator) for name in inputs}

    def augment(self, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return a batch with images mirrored and relit, and sounds of random loudness, as the settings say."""
        from bench.tasks import augment

        if self.mirror and "vision" in batch:
            batch = {**batch, "vision": augment.mirror([batch["vision"]], generator)[0]}
        if not self.augmentation:
            return batch
        changes = {"vision": augment.relight, "audio": augment.gain}
        return {**batch, **{name: change(batch[name], generator) for name, change in changes.items() if name in batch}}

    def draw_inputs(self, samples: Samples, index: int) -> Image:
        """Return a picture of a sample's image, spectrogram and text."""
        from bench.tasks import draw

        assert isinstance(samples, OwnSamples)
        arrays = samples[index]
        pictures = []
        if "vision" in samples.inputs:
            pictures.append(draw.enlarged(arrays["vision"][0].transpose(1, 2, 0), 200))
        if "audio" in samples.inputs and arrays["audio"].ndim == 3:  # waveforms are not drawn
            pictures.append(draw.enlarged(_gray(arrays["audio"][0]), 200))
        if "text" in samples.inputs:
            pictures.append(draw.text(f'"{samples.samples[index].text}"', 300))
        return draw.in_row(pictures)


class OwnSamples(Samples):
    """The samples of a split as arrays; see `OwnData.samples`.

    Attributes:
        data: The whole data.
        samples: The samples of the split.
        inputs: The form of each stream's input.
    """

    def __init__(
        self, data: UserData, split: str, inputs: Inputs, windows: int, truth: Mapping[str, Sequence[int]]
    ) -> None:
        from bench.streams.inputs import TextInput

        self.data, self.inputs = data, inputs
        self.samples: list[Sample] = data.samples_of(split)
        self.names = [sample.name for sample in self.samples]
        self.groups = [sample.group for sample in self.samples]
        self.left_out = data.problems
        self._windows = windows if "audio" in inputs else 1
        self._truth = truth
        text = inputs.get("text")
        if isinstance(text, TextInput):
            self._tokens = text.encode_short([sample.text for sample in self.samples])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        import numpy as np

        inputs = {name: self._input(name, self.samples[index]) for name in self.inputs if name != "text"}
        if "text" in self.inputs:
            inputs["text"] = self._tokens[index, None]
        arrays = {name: np.repeat(x, self._windows // len(x), axis=0) for name, x in inputs.items()}
        return arrays | {name: np.array([numbers[index]]) for name, numbers in self._truth.items()}

    def _input(self, name: str, sample: Sample) -> np.ndarray:
        """Return the image of a sample, (1, 3, size, size), or its windows of sound, (windows, ...)."""
        from bench.datasets import media
        from bench.streams.inputs import ImageInput, SoundInput

        form = self.inputs[name]
        if isinstance(form, ImageInput):
            return media.read_image(self.data.folder / sample.image, sample.name, form.size)[None]
        assert isinstance(form, SoundInput)
        wave = media.read_audio(self.data.folder / sample.audio, sample.name, form.sample_rate)
        return form.encode(media.windows(wave, form.sample_rate, self._windows, form.window_s or _WINDOW))


def _gray(log_mel: np.ndarray) -> np.ndarray:
    """Return a spectrogram (frames, bins) as a gray picture: time from left to right, high sounds at the top."""
    import numpy as np

    low, high = np.percentile(log_mel, (5, 100))
    gray = np.clip((log_mel.T[::-1] - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
