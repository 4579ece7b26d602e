"""Sounds as inputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.streams import limits
from bench.streams.inputs.bounds import check_range, check_statistics
from bench.streams.inputs.log_mel import log_mel, whisper_log_mel
from bench.streams.inputs.settings import Pad

Waves: TypeAlias = NDArray[np.float32]

SECOND = 98
"""Frames of one second of sound: the windows of 25 ms, 10 ms apart, within it."""

# Bounds on the values of a preprocessor_config.json, in addition to `limits`.
_RATES = (1_000, 384_000)  # Hz
_MAX_MEL_BINS = 4_096


class SoundInput(ABC):
    """Sounds, as arrays that are computed from waveforms.

    Attributes:
        sample_rate: Sample rate of the waveform, in Hz.
        window_s: Seconds of sound of each input, in windows spread evenly over the recording; None for the second that
            each one stands for.
        kind: The name of this kind of input.
        options: The `InputSettings` that apply.
    """

    sample_rate: int
    window_s: float | None

    kind: ClassVar[str] = "sounds"
    options: ClassVar[tuple[str, ...]]

    def _check_sound(self) -> None:
        """Raise BenchError if the sample rate or the window is out of bounds."""
        check_range("the sample rate in Hz", self.sample_rate, *_RATES)
        if self.window_s is not None:
            check_range("the sound for each input in seconds", self.window_s, *limits.WINDOWS)

    @property
    def window_samples(self) -> int:
        """Samples of the sound itself, before it is cut or padded."""
        return self.sample_rate if self.window_s is None else int(self.window_s * self.sample_rate)

    @abstractmethod
    def encode(self, waves: Waves) -> Waves:
        """Return the inputs (count, ...) of waveforms (count, samples), not normalized yet, float32."""

    @abstractmethod
    def normalize(self, inputs: Tensor) -> Tensor:
        """Return encoded sounds as the encoder reads them."""

    @abstractmethod
    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random sounds (*shape, ...), distributed like encoded ones."""

    @abstractmethod
    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values."""


class SpectrogramInput(SoundInput):
    """Log-mel spectrograms, in natural logarithms.

    Attributes:
        mel_bins: Bins of the filter bank.
        frames: Length, in frames.
    """

    mel_bins: int
    frames: int

    def _check_spectrogram(self) -> None:
        """Raise BenchError if a number is out of bounds."""
        self._check_sound()
        check_range("the number of mel bins", self.mel_bins, 1, _MAX_MEL_BINS)
        check_range("the number of frames", self.frames, *limits.FRAMES)

    @property
    @abstractmethod
    def sound_frames(self) -> int:
        """The frames of the sound itself, before it is cut or padded."""


@dataclass(frozen=True)
class AudioInput(SpectrogramInput):
    """Log-mel spectrograms as AST reads them: Kaldi's filter bank.

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

    options: ClassVar[tuple[str, ...]] = ("frames", "mean", "std", "pad", "window_s")

    def __post_init__(self) -> None:
        self._check_spectrogram()
        check_statistics(self.mean, self.std)

    @property
    def sound_frames(self) -> int:
        """The frames of the sound itself, before it is cut or padded."""
        if self.window_s is None:
            return SECOND
        window, shift = round(0.025 * self.sample_rate), round(0.010 * self.sample_rate)
        return 1 + (self.window_samples - window) // shift

    @property
    def filler(self) -> float:
        """The log-mel value that pads spectrograms."""
        return self.mean if self.pad == "mean" else 0.0

    def encode(self, waves: Waves) -> Waves:
        """Return the spectrograms (count, frames, mel_bins) of waveforms (count, samples)."""
        return log_mel(waves, self.sample_rate, self.mel_bins, self.frames, self.filler)

    def normalize(self, inputs: Tensor) -> Tensor:
        """Return `(log_mel - mean) / (2 std)` of spectrograms (..., frames, mel_bins), as AST does."""
        return (inputs - self.mean) / (2 * self.std)

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
        # Without normalization, (log_mel - 0) / (2 * 0.5) are the log-mels themselves.
        mean, std = (0.0, 0.5) if values.get("do_normalize") is False else (values["mean"], values["std"])
        return cls(
            sample_rate=int(values["sampling_rate"]),
            mel_bins=int(values["num_mel_bins"]),
            frames=frames or int(values["max_length"]),
            mean=float(mean),
            std=float(std),
        )


@dataclass(frozen=True)
class WhisperInput(SpectrogramInput):
    """Log-mel spectrograms as Whisper reads them, of any length.

    Whisper pads all sound to 30 s. Here a spectrogram is as long as the sound, unless `frames` is larger (3000: 30 s).

    Attributes:
        sample_rate: Sample rate of the waveform, in Hz.
        mel_bins: Bins of the filter bank.
        frames: Length, in frames of `hop` samples. Waveforms are cut or padded with silence to that length.
        window_s: See `SoundInput`.
        hop: Samples from one frame to the next.
        fft_size: Samples of a frame.
        options: The `InputSettings` that apply.
    """

    sample_rate: int
    mel_bins: int
    frames: int
    window_s: float | None = None
    hop: int = 160
    fft_size: int = 400

    options: ClassVar[tuple[str, ...]] = ("frames", "window_s")

    def __post_init__(self) -> None:
        self._check_spectrogram()
        check_range("the hop of spectrograms in samples", self.hop, 1, self.sample_rate)
        check_range("the samples of a frame", self.fft_size, 2, self.sample_rate)

    @property
    def sound_frames(self) -> int:
        """The frames of the sound itself, before it is cut or padded."""
        return self.window_samples // self.hop

    def encode(self, waves: Waves) -> Waves:
        """Return the spectrograms (count, frames, mel_bins) of waveforms (count, samples)."""
        waves = resized(waves, self.frames * self.hop)
        return whisper_log_mel(waves, self.sample_rate, self.mel_bins, self.fft_size, self.hop)

    def normalize(self, inputs: Tensor) -> Tensor:
        """Return spectrograms (..., frames, mel_bins) as Whisper reads them: the loudest 80 dB, in tens of dB."""
        log10 = inputs / math.log(10)
        return (log10.maximum(log10.amax((-2, -1), keepdim=True) - 8) + 4) / 4

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random spectrograms (*shape, frames, mel_bins), distributed roughly like those of samples."""
        return torch.randn(*shape, self.frames, self.mel_bins, generator=generator) * 4 - 8

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values."""
        return {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": self.mel_bins,
            "sampling_rate": self.sample_rate,
            "hop_length": self.hop,
            "n_fft": self.fft_size,
            "chunk_length": math.ceil(self.frames * self.hop / self.sample_rate),
            "nb_max_frames": self.frames,
        }

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], frames: int | None = None) -> WhisperInput:
        """Return the input that a `preprocessor_config.json` describes.

        Args:
            values: Content of the file.
            frames: Length in frames that overrides the file's; None for the file's.

        Raises:
            KeyError: A value is missing.
        """
        rate, hop = int(values["sampling_rate"]), int(values.get("hop_length", cls.hop))
        stored = values.get("nb_max_frames") or int(values.get("chunk_length", 30) * rate) // hop
        return cls(
            sample_rate=rate,
            mel_bins=int(values["feature_size"]),
            frames=frames or int(stored),
            hop=hop,
            fft_size=int(values.get("n_fft", cls.fft_size)),
        )


@dataclass(frozen=True)
class WaveformInput(SoundInput):
    """Waveforms themselves, as wav2vec 2.0 and HuBERT read them.

    Attributes:
        sample_rate: Sample rate, in Hz.
        normalized: Whether each waveform gets mean 0 and variance 1.
        window_s: See `SoundInput`.
        options: The `InputSettings` that apply.
    """

    sample_rate: int
    normalized: bool = True
    window_s: float | None = None

    options: ClassVar[tuple[str, ...]] = ("window_s",)

    def __post_init__(self) -> None:
        self._check_sound()

    def encode(self, waves: Waves) -> Waves:
        """Return the waveforms (count, samples), cut or padded with silence to the length of the window."""
        return resized(waves, self.window_samples)

    def normalize(self, inputs: Tensor) -> Tensor:
        """Return waveforms (..., samples) with mean 0 and variance 1, if they are to be normalized."""
        if not self.normalized:
            return inputs
        variance, mean = torch.var_mean(inputs, -1, correction=0, keepdim=True)
        return (inputs - mean) / (variance + 1e-7).sqrt()

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random waveforms (*shape, samples)."""
        return torch.randn(*shape, self.window_samples, generator=generator) * 0.1

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values."""
        return {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": self.sample_rate,
            "do_normalize": self.normalized,
        }

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], window_s: float | None = None) -> WaveformInput:
        """Return the input that a `preprocessor_config.json` describes.

        Args:
            values: Content of the file.
            window_s: Seconds of sound; see `SoundInput`.

        Raises:
            KeyError: A value is missing.
        """
        return cls(int(values["sampling_rate"]), values.get("do_normalize") is not False, window_s)


def resized(waves: Waves, samples: int) -> Waves:
    """Return waveforms (count, ...) cut or padded with silence to a number of samples."""
    padding = max(0, samples - waves.shape[1])
    return np.pad(waves[:, :samples], ((0, 0), (0, padding)))
