"""What a stream reads: the form of its media and the statistics it was pretrained with."""

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
from bench.streams.sources import encoder_checksum, fetching

SECOND = 98
"""Frames of one second of sound: windows of 25 ms, 10 ms apart, that lie within it."""

# What a preprocessor_config.json may ask for, besides `limits`.
_RATES = (1_000, 384_000)  # Hz
_MOST_BINS = 4_096
_PANIC = "PanicException"  # of code in Rust, and no Exception: of a regular expression that would go back for ever

Pad: TypeAlias = Literal["zeros", "mean"]
"""What a spectrogram is filled up with, before it is normalised."""


class Reading(TypedDict, total=False):
    """How a stream is to read, where that is not as its checkpoint says; None is as the checkpoint says."""

    size: int | None
    """Side of the images in pixels."""
    frames: int | None
    """Length of the spectrograms; by default that of the sound, or the checkpoint's if that is shorter."""
    mean: float | None
    """Mean of the log-mel values."""
    std: float | None
    """Their standard deviation."""
    pad: Pad | None
    """What shorter spectrograms are filled up with; see `AudioInput`."""
    window_s: float | None
    """Seconds of sound for each spectrogram; see `AudioInput`."""
    length: int | None
    """Tokens of a text; without any word of it in the checkpoint, 40."""


@dataclass(frozen=True)
class ImageInput:
    """Square RGB images.

    Attributes:
        size: side in pixels.
        mean: mean of each channel, of values from 0 to 1.
        std: standard deviation of each channel, likewise.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    what: ClassVar[str] = "images"
    options: ClassVar[tuple[str, ...]] = ("size",)

    def __post_init__(self) -> None:
        _check("the side of images in pixels", self.size, *limits.SIDES)
        for mean, std in zip(self.mean, self.std, strict=True):
            _check_statistics(mean, std)

    def normalise(self, image: Tensor) -> Tensor:
        """Return `(image - mean) / std` of images (..., 3, H, W), uint8 or floats from 0 to 1."""
        if image.dtype == torch.uint8:
            image = image.float() / 255
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return made-up images (*shape, 3, size, size), uint8, as samples hold them."""
        return torch.randint(256, (*shape, 3, self.size, self.size), dtype=torch.uint8, generator=generator)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` that says the same."""
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
        """Read a `preprocessor_config.json`; `size` overrules the size in it.

        Raises:
            KeyError: a value is missing.
        """
        return cls(size or _stored_size(values), _triple(values["image_mean"]), _triple(values["image_std"]))


@dataclass(frozen=True)
class AudioInput:
    """Log-mel spectrograms.

    Attributes:
        sample_rate: of the waveform, in Hz.
        mel_bins: bins of the filter bank.
        frames: length in frames (10 ms each).
        mean: mean of the log-mel values.
        std: their standard deviation.
        pad: what shorter spectrograms are filled up with: "zeros", which are then normalised like any value, as AST's
            feature extractor does; or the "mean", which normalised is 0, as where sound is normalised before padding.
        window_s: seconds of sound for each spectrogram, in windows spread evenly over the recording; None for the
            second that each stands for.
    """

    sample_rate: int
    mel_bins: int
    frames: int
    mean: float
    std: float
    pad: Pad = "zeros"
    window_s: float | None = None

    what: ClassVar[str] = "sounds"
    options: ClassVar[tuple[str, ...]] = ("frames", "mean", "std", "pad", "window_s")

    def __post_init__(self) -> None:
        _check("the sample rate in Hz", self.sample_rate, *_RATES)
        _check("the number of mel bins", self.mel_bins, 1, _MOST_BINS)
        _check("the number of frames", self.frames, *limits.FRAMES)
        _check_statistics(self.mean, self.std)
        if self.window_s is not None:
            _check("the sound for each spectrogram in seconds", self.window_s, *limits.WINDOWS)

    @property
    def heard(self) -> int:
        """Frames of the sound itself, before it is cut or filled up."""
        if self.window_s is None:
            return SECOND
        window, shift = round(0.025 * self.sample_rate), round(0.010 * self.sample_rate)
        return 1 + (int(self.window_s * self.sample_rate) - window) // shift

    @property
    def filler(self) -> float:
        """The log-mel value that spectrograms are filled up with."""
        return self.mean if self.pad == "mean" else 0.0

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Return `(log_mel - mean) / (2 std)` of spectrograms (..., frames, mel_bins), as AST does."""
        return (log_mel - self.mean) / (2 * self.std)

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return made-up spectrograms (*shape, frames, mel_bins), as samples hold them."""
        return torch.randn(*shape, self.frames, self.mel_bins, generator=generator) * self.std + self.mean

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` that says the same."""
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
        """Read a `preprocessor_config.json`; `frames` overrules the length in it.

        Raises:
            KeyError: a value is missing.
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

    The tokenizer is loaded when it is first needed and not held here: inputs are small, can be copied and pickled, and
    are equal where their fields are.

    Attributes:
        tokenizer: folder, or id on the Hugging Face hub, of a fast tokenizer of transformers.
        length: tokens of every text, special ones included: longer texts are cut, shorter ones padded.
        lower_case: whether texts are lower-cased first, whatever the tokenizer does by itself.
    """

    tokenizer: str
    length: int = 40
    lower_case: bool = True

    what: ClassVar[str] = "text"
    options: ClassVar[tuple[str, ...]] = ("length",)

    def __post_init__(self) -> None:
        if self.length < 3:
            raise BenchError(f"a text needs 3 tokens at least, the first and the last being special, not {self.length}")
        _check("the length of texts in tokens", self.length, *limits.TOKENS)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return token ids (texts, length), int64.

        What looks like a special token in a text is text, so only what fills a row up has the id of padding.

        Raises:
            BenchError: there is no such tokenizer, or it is not a fast one, or it lacks what the texts need.
        """
        if self.lower_case:
            texts = [text.lower() for text in texts]
        tokenizer = _tokenizer(self.tokenizer, self.length)
        try:
            rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        except BaseException as error:  # as where the files have no token for words that they do not have
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            raise BenchError(f"the tokenizer {self.tokenizer} cannot encode texts: {wording(error)}") from error
        return np.asarray(rows, dtype=np.int64).reshape(-1, self.length)

    def normalise(self, ids: Tensor) -> Tensor:
        """Return token ids (..., length) as they are."""
        return ids

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return made-up token ids (*shape, length): texts of 3 tokens to half of the length, then padding.

        Raises:
            BenchError: as `vocabulary`.
        """
        number, padding = self.vocabulary()
        ids = torch.randint(number - 1, (*shape, self.length), generator=generator)
        ids += ids >= padding
        lengths = torch.randint(3, max(4, self.length // 2 + 1), (*shape, 1), generator=generator)
        return torch.where(torch.arange(self.length) < lengths, ids, padding)

    def vocabulary(self) -> tuple[int, int]:
        """Return the number of token ids, and the one of padding.

        Raises:
            BenchError: there is no such tokenizer, or it is not a fast one.
        """
        tokenizer = _tokenizer(self.tokenizer, self.length)
        return max(tokenizer.get_vocab().values()) + 1, tokenizer.padding["pad_id"]  # some numbers may have no token

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files, from which transformers loads it again, into a folder.

        Raises:
            BenchError: there is no such tokenizer, or it is not a fast one.
        """
        _pretrained_tokenizer(self.tokenizer).save_pretrained(folder)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` that says the same but for the tokenizer."""
        return {"max_length": self.length, "do_lower_case": self.lower_case}

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], tokenizer: str, length: int | None = None) -> TextInput:
        """Read a `preprocessor_config.json`, which checkpoints of text encoders need not have: all has defaults.

        Args:
            values: its content, {} without the file.
            tokenizer: folder or id on the hub.
            length: overrules the length in it.
        """
        return cls(
            tokenizer, length or int(values.get("max_length", cls.length)), values.get("do_lower_case", cls.lower_case)
        )


@dataclass(frozen=True)
class OutlinedText(TextInput):
    """Texts for an encoder that is here without its tokenizer: they can be made up, but not read.

    Attributes:
        ids: number of token ids.
        padding: the one of padding.
    """

    ids: int = 0
    padding: int = 0

    def vocabulary(self) -> tuple[int, int]:
        """Return the number of token ids, and the one of padding."""
        return self.ids, self.padding

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Refuse to.

        Raises:
            UsageError: always; says how to fetch the tokenizer.
        """
        raise UsageError(f"the tokenizer of {self.tokenizer} is not here: fetch it with {fetching(self.tokenizer)}")


Input: TypeAlias = ImageInput | AudioInput | TextInput
"""What any stream reads. `what` says it in a word, `options` are those of `Reading` that it takes, its extent first."""


def _pretrained_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, local_files_only=True)
        words = len(tokenizer) - len(tokenizer.all_special_ids)
    except Exception as error:  # broken files can make transformers fail in any way
        raise BenchError(
            f"cannot load the tokenizer {source} (from tokenizer.json, where there is one): {wording(error)}"
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise BenchError(f"the tokenizer {source} is no fast one, or has no padding token: use another")
    if words <= 0:  # what transformers makes up where there are no files
        raise BenchError(f"the tokenizer {source} has no words: is there a tokenizer.json or vocab.txt?")
    return tokenizer


def _tokenizer(source: str, length: int) -> Any:
    """Return the fast tokenizer itself, which threads may share since its settings are not changed after this."""
    try:
        checksum = encoder_checksum(source, weights=False)
    except UsageError:  # of a tokenizer without an encoder nothing tells whether its files have changed
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


def _check(what: str, number: float, low: float, high: float) -> None:
    if not low <= number <= high:  # a number that is none fails too
        raise BenchError(f"{what} should be {low:g} to {high:g}, not {number:g}")


def _check_statistics(mean: float, std: float) -> None:
    """Refuses statistics that would make other inputs than finite ones."""
    _check("the mean of inputs", mean, *limits.MEANS)
    _check("the standard deviation of inputs", std, *limits.DEVIATIONS)


def _stored_size(values: Mapping[str, Any]) -> int:
    # DINOv2's checkpoints resize to 256 and then crop: the crop is what the encoder sees.
    stored = values["crop_size"] if values.get("do_center_crop") else values["size"]
    if isinstance(stored, Mapping) and "height" not in stored:  # as for pictures that keep their shape
        raise BenchError(
            f"preprocessor_config.json gives images the size {dict(stored)}, which is no height: to say the side of "
            "square ones in pixels, as the encoder was pretrained with, set the size of the stream (vision.size=224)"
        )
    return int(stored["height"] if isinstance(stored, Mapping) else stored)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
