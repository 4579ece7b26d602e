"""Reads the media of a release: images, masks and audio, as arrays. Every error names the file and its sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from PIL import Image

from bench.errors import DataError


def _broken(path: Path, sample: str, what: str, error: Exception) -> DataError:
    if not path.exists():
        return DataError(f"sample {sample}: {what} {path} is missing")
    return DataError(f"sample {sample}: {what} {path} cannot be read: {error or type(error).__name__}")


def read_image(path: Path, sample: str, size: int) -> NDArray[np.uint8]:
    """The image resized to a square (bicubic, no crop): (3, size, size).

    Raises:
        DataError: the file is missing or broken.
    """
    try:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(path, sample, "image", error) from error
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def read_mask(path: Path, sample: str, size: int) -> NDArray[np.bool_]:
    """The mask resized to a square (nearest): (size, size), True where its grey value is over 127.

    Raises:
        DataError: the file is missing or broken.
    """
    try:
        with Image.open(path) as image:
            resized = image.convert("L").resize((size, size), Image.Resampling.NEAREST)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(path, sample, "mask", error) from error
    return np.asarray(resized) > 127


def image_size(path: Path, sample: str) -> tuple[int, int]:
    """Height and width of an image in pixels, from its header: the rest of the file may be broken.

    Raises:
        DataError: the file is missing, or no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(path, sample, "image", error) from error


def read_audio(path: Path, sample: str, rate: int) -> NDArray[np.float32]:
    """The waveform averaged to mono and resampled from the file's own rate to `rate`: (samples,), in -1..1.

    Raises:
        DataError: the file is missing or broken.
    """
    mono, own_rate = decode_audio(path, sample)
    return mono if own_rate == rate else soxr.resample(mono, own_rate, rate).astype(np.float32)


def decode_audio(path: Path, sample: str) -> tuple[NDArray[np.float32], int]:
    """The waveform averaged to mono, (samples,), in -1..1, and its sample rate in Hz.

    Raises:
        DataError: the file is missing or broken.
    """
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise _broken(path, sample, "audio", error) from error
    return wave.mean(axis=1), rate


def audio_seconds(path: Path, sample: str) -> float:
    """How long a recording is by its header, in seconds.

    Raises:
        DataError: the file is missing, or no recording.
    """
    try:
        return float(soundfile.info(path).duration)
    except (OSError, RuntimeError, ValueError) as error:
        raise _broken(path, sample, "audio", error) from error


def seconds(wave: NDArray[np.float32], rate: int, count: int) -> NDArray[np.float32]:
    """The first `count` seconds, one a row, (count, rate); silence where the recording is shorter."""
    kept = np.zeros(count * rate, dtype=np.float32)
    kept[: min(len(wave), len(kept))] = wave[: len(kept)]
    return kept.reshape(count, rate)
