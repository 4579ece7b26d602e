"""Sounds as inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.streams import limits
from bench.streams.inputs.bounds import check_range, check_statistics
from bench.streams.inputs.settings import Pad

SECOND = 98
"""Frames of one second of sound: the windows of 25 ms, 10 ms apart, within it."""

# Bounds on the values of a preprocessor_config.json, in addition to `limits`.
_RATES = (1_000, 384_000)  # Hz
_MAX_MEL_BINS = 4_096


@dataclass(frozen=True)
class AudioInput:
    """Log-mel spectrograms.

    Attributes:
        sample_rate: Sample rate of the waveform, in Hz.
        mel_bins: Bins of the filter bank.
        frames: Length, in frames of 10 ms.
        mean: Mean of the log-mel values.
        std: Their standard deviation.
        pad: The padding of shorter spectrograms: "zeros", normalized like any value, as AST's feature extractor does;
            or the "mean", whose normalized value is 0, as when sound is normalized before padding.
        window_s: Seconds of sound of each spectrogram, in windows spread evenly over the recording; None for the second
            that each one stands for.
        kind: The name of this kind of input.
        options: The `InputSettings` that apply.
    """

    sample_rate: int
    mel_bins: int
    frames: int
    mean: float
    std: float
    pad: Pad = "zeros"
    window_s: float | None = None

    kind: ClassVar[str] = "sounds"
    options: ClassVar[tuple[str, ...]] = ("frames", "mean", "std", "pad", "window_s")

    def __post_init__(self) -> None:
        check_range("the sample rate in Hz", self.sample_rate, *_RATES)
        check_range("the number of mel bins", self.mel_bins, 1, _MAX_MEL_BINS)
        check_range("the number of frames", self.frames, *limits.FRAMES)
        check_statistics(self.mean, self.std)
        if self.window_s is not None:
            check_range("the sound for each spectrogram in seconds", self.window_s, *limits.WINDOWS)

    @property
    def sound_frames(self) -> int:
        """The frames of the sound itself, before it is cut or padded."""
        if self.window_s is None:
            return SECOND
        window, shift = round(0.025 * self.sample_rate), round(0.010 * self.sample_rate)
        return 1 + (int(self.window_s * self.sample_rate) - window) // shift

    @property
    def filler(self) -> float:
        """The log-mel value that pads spectrograms."""
        return self.mean if self.pad == "mean" else 0.0

    def normalize(self, log_mel: Tensor) -> Tensor:
        """Return `(log_mel - mean) / (2 std)` of spectrograms (..., frames, mel_bins), as AST does."""
        return (log_mel - self.mean) / (2 * self.std)

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random spectrograms (*shape, frames, mel_bins), distributed like those of samples."""
        return torch.randn(*shape, self.frames, self.mel_bins, generator=generator) * self.std + self.mean

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values."""
        return {
            "feature_extractor_type": "ASTFeatureExtractor",
            "feature_size": 1,
            "sampling_rate": self.sample_rate,
            "num_mel_bins": self.mel_bins,
            "max_length": self.frames,
            "do_normalize": True,
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], frames: int | None = None) -> AudioInput:
        """Return the input that a `preprocessor_config.json` describes.

        Args:
            values: Content of the file.
            frames: Length in frames that overrides the file's; None for the file's.

        Raises:
            KeyError: A value is missing.
        """
        return cls(
            sample_rate=int(values["sampling_rate"]),
            mel_bins=int(values["num_mel_bins"]),
            frames=frames or int(values["max_length"]),
            mean=float(values["mean"]),
            std=float(values["std"]),
        )
