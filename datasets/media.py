"""Reads the media of a release (images, masks, audio) as arrays. Every error names the file and its sample.

Sizes in a file's header are checked before decoding, since a few bytes can request all of the memory.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.datasets import pictures
from bench.datasets.masks import foreground
from bench.errors import DataError, wording
from bench.files import MEBIBYTE, check_file, read_bytes

MAX_PICTURE_BYTES = 32 * MEBIBYTE  # pictures of the benchmarks have less than one MiB
MAX_RECORDING_BYTES = 256 * MEBIBYTE
MAX_PIXELS = 2**25  # of a picture: a frame of 8K video, 40 times any picture of the benchmarks
MAX_SIDE = 2**16 - 1  # pixels, as in a JPEG; resizing takes 32 bytes per pixel of a longer side
MAX_AUDIO_SAMPLES = 2**26  # of a recording, over all its channels: twenty minutes of mono at 48 kHz
MAX_AUDIO_SECONDS = 600  # limits the size after resampling; the benchmarks' recordings have 10 seconds
RATES = (1_000, 384_000)  # Hz
MAX_AMPLITUDE = 1_000.0  # of floating-point samples, where 1 is full scale
_END_MARGIN = 0.1  # seconds from the last window's end to the recording's
_FORMATS = ("JPEG", "PNG")  # Pillow supports dozens, and runs an external program for one of them


@contextmanager
def _decoding(path: Path, sample: str, kind: str) -> Iterator[None]:
    """Turn every error in the block into a DataError that names the file and its sample."""
    try:
        yield
    except (DataError, MemoryError):  # running out of memory does not mean that the file is bad
        raise
    except FileNotFoundError as error:
        raise DataError(f"sample {sample}: {kind} {path} is missing") from error
    except Exception as error:  # a broken file can make a decoder fail in any way
        raise DataError(f"sample {sample}: {kind} {path} cannot be read: {wording(error)}") from error


@contextmanager
def opened_image(path: Path, sample: str, kind: str = "image") -> Iterator[Image.Image]:
    """Open an image whose header is valid, whose rows are complete, and which is not too large.

    Errors inside the block are reported in the same way.

    Pillow gets the file's content rather than its path, because for a path it would allocate whatever length a PNG
    chunk claims.

    Raises:
        DataError: The file is missing or broken, is neither PNG nor JPEG, or has more than `MAX_PIXELS`.
    """
    with _decoding(path, sample, kind):
        content = read_bytes(path, MAX_PICTURE_BYTES)
        with _open(io.BytesIO(content)) as image:
            pictures.check_rows(content)
            yield image


def _open(source: Path | io.BytesIO) -> Image.Image:
    try:
        image = Image.open(source, formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is not a {' or '.join(_FORMATS)}, or its header is broken") from None
    check_pixels(image.height, image.width)
    return image


def check_pixels(height: int, width: int, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse pictures that would take too much memory.

    Raises:
        ValueError: The picture is too large.
    """
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"{height:,} x {width:,} pixels (height x width), more than {MAX_SIDE:,} along a side")
    if height * width > max_pixels:
        raise ValueError(f"{height:,} x {width:,} pixels (height x width), more than the {max_pixels:,} allowed")


def read_image(path: Path, sample: str, size: int) -> NDArray[np.uint8]:
    """Return an image, upright and in RGB, resized to a square (bicubic, no crop): (3, size, size).

    Raises:
        DataError: The file is missing, broken or too large.
    """
    with opened_image(path, sample) as image:
        resized = decoded(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def decoded(image: Image.Image, stored: tuple[int, int] | None = None) -> Image.Image:
    """Return an open image in RGB, rotated by its EXIF orientation unless it is stored in the annotated size.

    Args:
        image: The image, as opened by `opened_image`.
        stored: The annotated height and width; None if there is no annotation.
    """
    transpose = None if stored == (image.height, image.width) else pictures.orientation(image)
    return _upright(pictures.rgb(image), transpose)


def _upright(image: Image.Image, transpose: Image.Transpose | None) -> Image.Image:
    return image if transpose is None else image.transpose(transpose)


def read_mask(path: Path, sample: str, size: int) -> NDArray[np.bool_]:
    """Return a mask resized to a square (nearest neighbor): (size, size), True in the foreground (`masks.foreground`).

    Raises:
        DataError: The file is missing, broken or too large.
    """
    with opened_image(path, sample, "mask") as image:
        mask = _upright(Image.fromarray(foreground(image).astype(np.uint8)), pictures.orientation(image))
    return np.asarray(mask.resize((size, size), Image.Resampling.NEAREST)) > 0


def image_size(path: Path, sample: str, stored: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return height and width, in pixels, of an image as returned by `decoded`. Only the header is read.

    Raises:
        DataError: The file is missing, is not an image, or is too large.
    """
    with _decoding(path, sample, "image"):
        check_file(path, MAX_PICTURE_BYTES)
        with _open(path) as image:
            size = image.height, image.width
            return size[::-1] if size != stored and pictures.is_on_its_side(image) else size


def read_audio(path: Path, sample: str, rate: int) -> NDArray[np.float32]:
    """Return a recording's waveform, averaged to mono and resampled to `rate` Hz: (samples,), from -1 to 1.

    Raises:
        DataError: The file is missing, broken or too large.
    """
    mono, file_rate = decode_audio(path, sample)
    return mono if file_rate == rate else soxr.resample(mono, file_rate, rate).astype(np.float32)


def decode_audio(path: Path, sample: str) -> tuple[NDArray[np.float32], int]:
    """Return a recording's waveform averaged to mono, (samples,), from -1 to 1, and its sample rate in Hz.

    Raises:
        DataError: The file is missing, broken or too large.
    """
    with _opened_audio(path, sample) as file:
        wave = file.read(dtype="float32", always_2d=True)
        if not np.abs(wave).max(initial=0) <= MAX_AMPLITUDE:  # written so that NaN fails too
            raise ValueError(f"it has samples that are NaN or beyond {MAX_AMPLITUDE:,.0f} times full scale")
        return wave.mean(axis=1), file.samplerate


def audio_seconds(path: Path, sample: str) -> float:
    """Return the length of a recording by its header, in seconds.

    Raises:
        DataError: The file is missing, is not a recording, or is too large.
    """
    with _opened_audio(path, sample) as file:
        return file.frames / file.samplerate


@contextmanager
def _opened_audio(path: Path, sample: str) -> Iterator[soundfile.SoundFile]:
    """Open a recording whose header is valid and which is not too large."""
    with _decoding(path, sample, "audio"):
        check_file(path, MAX_RECORDING_BYTES)
        # Passed as bytes, since as text a name must be UTF-8.
        try:
            file = soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path)
        except soundfile.LibsndfileError as error:
            raise ValueError(error.error_string) from error  # its message has the path again, as bytes
        with file:
            if not file.frames:
                raise ValueError("it is empty: it has no samples")
            check_audio(file.frames, file.channels, file.samplerate)
            yield file


def check_audio(frames: int, channels: int, rate: int) -> None:
    """Refuse recordings that would take too much memory, as they are or after resampling.

    Args:
        frames: Number of samples per channel.
        channels: Number of channels.
        rate: Sample rate, in Hz.

    Raises:
        ValueError: The recording is too large, or its rate is out of range.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"its sample rate is {rate:,} Hz, expected {RATES[0]:,} to {RATES[1]:,}")
    if frames > MAX_AUDIO_SECONDS * rate or frames * channels > MAX_AUDIO_SAMPLES:
        raise ValueError(
            f"{frames:,} samples in {channels} channels at {rate:,} Hz, more than {MAX_AUDIO_SECONDS} seconds or "
            f"{MAX_AUDIO_SAMPLES:,} samples in all"
        )


def seconds(wave: NDArray[np.float32], rate: int, count: int) -> NDArray[np.float32]:
    """Return the first `count` seconds, one per row, (count, rate), padded with silence."""
    padded = np.zeros(count * rate, dtype=np.float32)
    padded[: min(len(wave), len(padded))] = wave[: len(padded)]
    return padded.reshape(count, rate)


def pieces(wave: NDArray[np.float32], rate: int, count: int, window_s: float | None) -> NDArray[np.float32]:
    """Return one row per second: the first `count` seconds themselves, or `windows` of `window_s` seconds."""
    return seconds(wave, rate, count) if window_s is None else windows(wave, rate, count, window_s)


def windows(wave: NDArray[np.float32], rate: int, count: int, length: float) -> NDArray[np.float32]:
    """Return `count` windows of `length` seconds, spread evenly over a recording, one per row: (count, samples).

    The first one starts with the recording, and the last one ends a tenth of a second before its end, as in LAVISH (Lin
    et al., CVPR 2023) and in CoLA's code. A shorter recording is padded with silence.
    """
    size = int(length * rate)
    last = max(0.0, len(wave) - (length + _END_MARGIN) * rate)
    padded = np.pad(wave, (0, max(0, size - len(wave))))
    return np.stack([padded[start : start + size] for start in np.linspace(0, last, count, dtype=int)])
