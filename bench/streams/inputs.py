"""The form of what a stream reads, and the statistics of the media it was pretrained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError, UsageError, wording
from bench.streams import limits
from bench.streams.sources import download_command, encoder_checksum

SECOND = 98
"""Frames of one second of sound: the windows of 25 ms, 10 ms apart, within it."""

# Bounds on the values of a preprocessor_config.json, in addition to `limits`.
_RATES = (1_000, 384_000)  # Hz
_MAX_MEL_BINS = 4_096
_PANIC = (
    "PanicException"  # of Rust code, not an Exception; such as for catastrophic backtracking of a regular expression
)

Pad: TypeAlias = Literal["zeros", "mean"]
"""The padding of a spectrogram, before normalization."""


class InputSettings(TypedDict, total=False):
    """Settings of an input that override those of the checkpoint; None keeps the checkpoint's."""

    size: int | None
    """Side of the images, in pixels."""
    frames: int | None
    """Length of the spectrograms, in frames; by default that of the sound, or the checkpoint's if that is shorter."""
    mean: float | None
    """Mean of the log-mel values."""
    std: float | None
    """Their standard deviation."""
    pad: Pad | None
    """The padding of shorter spectrograms; see `AudioInput`."""
    window_s: float | None
    """Seconds of sound for each spectrogram; see `AudioInput`."""
    length: int | None
    """Tokens of a text; 40 if the checkpoint does not say."""


@dataclass(frozen=True)
class ImageInput:
    """Square RGB images.

    Attributes:
        size: Side, in pixels.
        mean: Mean of each channel, for values from 0 to 1.
        std: Standard deviation of each channel, for values from 0 to 1.
        kind: The name of this kind of input.
        options: The `InputSettings` that apply.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    kind: ClassVar[str] = "images"
    options: ClassVar[tuple[str, ...]] = ("size",)

    def __post_init__(self) -> None:
        _check("the side of images in pixels", self.size, *limits.SIDES)
        for mean, std in zip(self.mean, self.std, strict=True):
            _check_statistics(mean, std)

    def normalize(self, image: Tensor) -> Tensor:
        """Return `(image - mean) / std` of images (..., 3, H, W), uint8 or floats from 0 to 1."""
        if image.dtype == torch.uint8:
            image = image.float() / 255
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random images (*shape, 3, size, size), uint8 like those of samples."""
        return torch.randint(256, (*shape, 3, self.size, self.size), dtype=torch.uint8, generator=generator)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values."""
        size = {"height": self.size, "width": self.size}
        return {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": size,
            "resample": 3,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], size: int | None = None) -> ImageInput:
        """Return the input that a `preprocessor_config.json` describes.

        Args:
            values: Content of the file.
            size: Side in pixels that overrides the file's; None for the file's.

        Raises:
            KeyError: A value is missing.
        """
        return cls(size or _stored_size(values), _triple(values["image_mean"]), _triple(values["image_std"]))


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
        _check("the sample rate in Hz", self.sample_rate, *_RATES)
        _check("the number of mel bins", self.mel_bins, 1, _MAX_MEL_BINS)
        _check("the number of frames", self.frames, *limits.FRAMES)
        _check_statistics(self.mean, self.std)
        if self.window_s is not None:
            _check("the sound for each spectrogram in seconds", self.window_s, *limits.WINDOWS)

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


@dataclass(frozen=True)
class TextInput:
    """Texts as token ids.

    The tokenizer is loaded when first needed and not stored here, so inputs are small, can be copied and pickled, and
    are equal if their fields are.

    Attributes:
        tokenizer: Folder, or id on the Hugging Face hub, of a fast tokenizer of transformers.
        length: Tokens of every text, including special ones. Longer texts are cut, shorter ones padded.
        lower_case: Whether texts are lower-cased first, independently of the tokenizer.
        kind: The name of this kind of input.
        options: The `InputSettings` that apply.
    """

    tokenizer: str
    length: int = 40
    lower_case: bool = True

    kind: ClassVar[str] = "text"
    options: ClassVar[tuple[str, ...]] = ("length",)

    def __post_init__(self) -> None:
        if self.length < 3:
            raise BenchError(
                f"texts must have at least 3 tokens, of which the first and last are special, not {self.length}"
            )
        _check("the length of texts in tokens", self.length, *limits.TOKENS)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return token ids (texts, length), int64.

        Anything in a text that looks like a special token is encoded as plain text, so only padding has the padding id.

        Args:
            texts: The texts.

        Raises:
            BenchError: The tokenizer does not exist, is not a fast one, or cannot encode the texts.
        """
        if self.lower_case:
            texts = [text.lower() for text in texts]
        tokenizer = _tokenizer(self.tokenizer, self.length)
        try:
            rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        except BaseException as error:  # such as for unknown words in a tokenizer without an unknown token
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            raise BenchError(f"the tokenizer {self.tokenizer} cannot encode texts: {wording(error)}") from error
        return np.asarray(rows, dtype=np.int64).reshape(-1, self.length)

    def normalize(self, ids: Tensor) -> Tensor:
        """Return token ids (..., length) unchanged."""
        return ids

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random token ids (*shape, length): texts of 3 tokens to half of the length, then padding.

        Raises:
            BenchError: As for `vocabulary`.
        """
        count, padding = self.vocabulary()
        ids = torch.randint(count - 1, (*shape, self.length), generator=generator)
        ids += ids >= padding
        lengths = torch.randint(3, max(4, self.length // 2 + 1), (*shape, 1), generator=generator)
        return torch.where(torch.arange(self.length) < lengths, ids, padding)

    def vocabulary(self) -> tuple[int, int]:
        """Return the number of token ids and the padding id.

        Raises:
            BenchError: The tokenizer does not exist or is not a fast one.
        """
        tokenizer = _tokenizer(self.tokenizer, self.length)
        return max(tokenizer.get_vocab().values()) + 1, tokenizer.padding["pad_id"]  # some ids may have no token

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files into a folder, from which transformers can load it.

        Raises:
            BenchError: The tokenizer does not exist or is not a fast one.
        """
        _pretrained_tokenizer(self.tokenizer).save_pretrained(folder)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values, except for the tokenizer."""
        return {"max_length": self.length, "do_lower_case": self.lower_case}

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], tokenizer: str, length: int | None = None) -> TextInput:
        """Return the input that a `preprocessor_config.json` describes. All values have defaults.

        Args:
            values: Content of the file; {} without the file, which checkpoints of text encoders need not have.
            tokenizer: Folder, or id on the hub.
            length: Length in tokens that overrides the file's; None for the file's.
        """
        return cls(
            tokenizer, length or int(values.get("max_length", cls.length)), values.get("do_lower_case", cls.lower_case)
        )


@dataclass(frozen=True)
class TextWithoutTokenizer(TextInput):
    """Texts for an encoder without its tokenizer: token ids can be drawn at random, but no text encoded.

    Attributes:
        ids: Number of token ids.
        padding: The padding id.
    """

    ids: int = 0
    padding: int = 0

    def vocabulary(self) -> tuple[int, int]:
        """Return the number of token ids and the padding id."""
        return self.ids, self.padding

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Raise, since there is no tokenizer.

        Raises:
            UsageError: Always; shows the command that downloads the tokenizer.
        """
        raise UsageError(
            f"the tokenizer of {self.tokenizer} is missing: download it with {download_command(self.tokenizer)}"
        )


Input: TypeAlias = ImageInput | AudioInput | TextInput
"""The input of any stream. `kind` names it; `options` are the `InputSettings` that it accepts, its size first."""


def _pretrained_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, local_files_only=True)
        words = len(tokenizer) - len(tokenizer.all_special_ids)
    except Exception as error:  # broken files can make transformers fail in any way
        raise BenchError(
            f"cannot load the tokenizer {source} (from tokenizer.json, if there is one): {wording(error)}"
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise BenchError(f"the tokenizer {source} must be a fast one with a padding token: use another")
    if words <= 0:  # transformers makes up an empty tokenizer if there are no files
        raise BenchError(f"the tokenizer {source} has no words: check that it has a tokenizer.json or vocab.txt")
    return tokenizer


def _tokenizer(source: str, length: int) -> Any:
    """Return the fast tokenizer itself, which threads can share since its settings no longer change."""
    try:
        checksum = encoder_checksum(source, weights=False)
    except UsageError:  # of a tokenizer without an encoder, changes of its files go unnoticed
        checksum = ""
    return _loaded_tokenizer(source, length, checksum)


@lru_cache(maxsize=8)
def _loaded_tokenizer(source: str, length: int, checksum: str) -> Any:
    pretrained = _pretrained_tokenizer(source)
    tokenizer = pretrained.backend_tokenizer
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=pretrained.pad_token_id, pad_token=pretrained.pad_token)
    tokenizer.encode_special_tokens = True
    return tokenizer


def _check(name: str, number: float, low: float, high: float) -> None:
    if not low <= number <= high:  # NaN fails too
        raise BenchError(f"{name} should be {low:g} to {high:g}, not {number:g}")


def _check_statistics(mean: float, std: float) -> None:
    """Raise BenchError for statistics that would make normalized inputs infinite."""
    _check("the mean of inputs", mean, *limits.MEANS)
    _check("the standard deviation of inputs", std, *limits.DEVIATIONS)


def _stored_size(values: Mapping[str, Any]) -> int:
    # DINOv2's checkpoints resize to 256 and then crop: the crop is the size that the encoder reads.
    stored = values["crop_size"] if values.get("do_center_crop") else values["size"]
    if isinstance(stored, Mapping) and "height" not in stored:  # such as for images that keep their aspect ratio
        raise BenchError(
            f"preprocessor_config.json has an image size without a height: {dict(stored)}. Set the side of the square "
            "images that the encoder was pretrained on, in pixels, as the size of the stream (vision.size=224)"
        )
    return int(stored["height"] if isinstance(stored, Mapping) else stored)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
