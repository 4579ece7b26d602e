"""Reads the media of a release: images, masks and audio, as arrays. Every error names the file and its sample.

What a file says of its size is checked before anything is decoded, since a few bytes can ask for all memory.
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

MAX_PICTURE_BYTES = 32 * MEBIBYTE  # bytes of a file; pictures of the benchmarks have less than one
MAX_RECORDING_BYTES = 256 * MEBIBYTE  # bytes of a file
MAX_PIXELS = 2**25  # of a picture: as many as a frame of 8K video, 40 times those of any picture of the benchmarks
MAX_SIDE = 2**16 - 1  # pixels, as in a JPEG; to resize a longer one takes 32 bytes for each
MAX_AUDIO_SAMPLES = 2**26  # of a recording, over all its channels: twenty minutes of mono at 48 kHz
MAX_AUDIO_SECONDS = 600  # of a recording, which decides how large it becomes at another rate; the benchmarks' have 10
RATES = (1_000, 384_000)  # Hz
MAX_AMPLITUDE = 1_000.0  # of a sample of a recording in floats, where 1 is full scale
_BEFORE_END = 0.1  # seconds from the last window's end to the recording's
_FORMATS = ("JPEG", "PNG")  # Pillow knows dozens, and runs a program to read one of them


@contextmanager
def _decoding(path: Path, sample: str, what: str) -> Iterator[None]:
    """Tell of whatever goes wrong as a DataError with the file and its sample."""
    try:
        yield
    except (DataError, MemoryError):  # the latter says nothing of the file
        raise
    except FileNotFoundError as error:
        raise DataError(f"sample {sample}: {what} {path} is missing") from error
    except Exception as error:  # a broken file can make a decoder fail in any way
        raise DataError(f"sample {sample}: {what} {path} cannot be read: {wording(error)}") from error


@contextmanager
def opened_image(path: Path, sample: str, what: str = "image") -> Iterator[Image.Image]:
    """Yield an image of which the header is read, all rows are there, and which is not too large.

    What fails while it is open is told too.

    Pillow gets all of the file, not its path: it makes room for whatever length a PNG names, if the file may have it.

    Raises:
        DataError: the file is missing or broken, is neither PNG nor JPEG, or has more than `MAX_PIXELS`.
    """
    with _decoding(path, sample, what):
        content = read_bytes(path, MAX_PICTURE_BYTES)
        with _open(io.BytesIO(content)) as image:
            pictures.check_rows(content)
            yield image


def _open(source: Path | io.BytesIO) -> Image.Image:
    try:
        image = Image.open(source, formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is none of {', '.join(_FORMATS)}, or its header is broken") from None
    check_pixels(image.height, image.width)
    return image


def check_pixels(height: int, width: int, most: int = MAX_PIXELS) -> None:
    """Refuse pictures that would take too much memory.

    Raises:
        ValueError: this is one.
    """
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"{height:,} x {width:,} pixels (height x width), more than {MAX_SIDE:,} along a side")
    if height * width > most:
        raise ValueError(f"{height:,} x {width:,} pixels (height x width), more than the {most:,} allowed")


def read_image(path: Path, sample: str, size: int) -> NDArray[np.uint8]:
    """Return the image, upright and in RGB, resized to a square (bicubic, no crop): (3, size, size).

    Raises:
        DataError: the file is missing, broken or too large.
    """
    with opened_image(path, sample) as image:
        resized = decoded(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def decoded(image: Image.Image, stored: tuple[int, int] | None = None) -> Image.Image:
    """An open image in RGB, turned upright as viewers do; not turned where it is stored in the size that it must have.

    Args:
        image: as `opened_image` gives it.
        stored: height and width that it must have, by an annotation.
    """
    turn = None if stored == (image.height, image.width) else pictures.turn(image)
    return _upright(pictures.rgb(image), turn)


def _upright(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def read_mask(path: Path, sample: str, size: int) -> NDArray[np.bool_]:
    """The mask resized to a square (nearest): (size, size), True where it is foreground, as `masks.foreground` says.

    Raises:
        DataError: the file is missing, broken or too large.
    """
    with opened_image(path, sample, "mask") as image:
        whole = _upright(Image.fromarray(foreground(image).astype(np.uint8)), pictures.turn(image))
    return np.asarray(whole.resize((size, size), Image.Resampling.NEAREST)) > 0


def image_size(path: Path, sample: str, stored: tuple[int, int] | None = None) -> tuple[int, int]:
    """Height and width of an image in pixels as `decoded` gives it, by its header: the rest of the file may be broken.

    Raises:
        DataError: the file is missing, no image, or one too large.
    """
    with _decoding(path, sample, "image"):
        check_file(path, MAX_PICTURE_BYTES)
        with _open(path) as image:
            size = image.height, image.width
            return size[::-1] if size != stored and pictures.is_on_its_side(image) else size


def read_audio(path: Path, sample: str, rate: int) -> NDArray[np.float32]:
    """Return the waveform averaged to mono and resampled from the file's own rate to `rate`: (samples,), in -1..1.

    Raises:
        DataError: the file is missing, broken or too large.
    """
    mono, own_rate = decode_audio(path, sample)
    return mono if own_rate == rate else soxr.resample(mono, own_rate, rate).astype(np.float32)


def decode_audio(path: Path, sample: str) -> tuple[NDArray[np.float32], int]:
    """Return the waveform averaged to mono, (samples,), in -1..1, and its sample rate in Hz.

    Raises:
        DataError: the file is missing, broken or too large.
    """
    with _opened_audio(path, sample) as file:
        wave = file.read(dtype="float32", always_2d=True)
        if not np.abs(wave).max(initial=0) <= MAX_AMPLITUDE:  # a number that is none fails too
            raise ValueError(f"it has samples that are no numbers, or beyond {MAX_AMPLITUDE:,.0f} times full scale")
        return wave.mean(axis=1), file.samplerate


def audio_seconds(path: Path, sample: str) -> float:
    """Return how long a recording is by its header, in seconds.

    Raises:
        DataError: the file is missing, no recording, or one too large.
    """
    with _opened_audio(path, sample) as file:
        return file.frames / file.samplerate


@contextmanager
def _opened_audio(path: Path, sample: str) -> Iterator[soundfile.SoundFile]:
    """Yield a recording of which the header is read, and which is not too large."""
    with _decoding(path, sample, "audio"):
        check_file(path, MAX_RECORDING_BYTES)
        # Bytes: of a text it would not take a name that is no UTF-8.
        with soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path) as file:
            if not file.frames:
                raise ValueError("it is empty: there is no sound in it")
            check_audio(file.frames, file.channels, file.samplerate)
            yield file


def check_audio(frames: int, channels: int, rate: int) -> None:
    """Refuse recordings that would take too much memory, as they are or at another rate.

    Args:
        frames: samples of one channel.
        channels: how many there are.
        rate: samples a second.

    Raises:
        ValueError: this is one.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"{rate:,} samples a second, expected are {RATES[0]:,} to {RATES[1]:,}")
    if frames > MAX_AUDIO_SECONDS * rate or frames * channels > MAX_AUDIO_SAMPLES:
        raise ValueError(
            f"{frames:,} samples in {channels} channels at {rate:,} Hz, more than {MAX_AUDIO_SECONDS} seconds or than "
            f"{MAX_AUDIO_SAMPLES:,} samples"
        )


def seconds(wave: NDArray[np.float32], rate: int, count: int) -> NDArray[np.float32]:
    """Return the first `count` seconds, one a row, (count, rate); silence where the recording is shorter."""
    kept = np.zeros(count * rate, dtype=np.float32)
    kept[: min(len(wave), len(kept))] = wave[: len(kept)]
    return kept.reshape(count, rate)


def pieces(wave: NDArray[np.float32], rate: int, count: int, window_s: float | None) -> NDArray[np.float32]:
    """Return what stands for each of the first `count` seconds, one a row: these, or `windows` of so many seconds."""
    return seconds(wave, rate, count) if window_s is None else windows(wave, rate, count, window_s)


def windows(wave: NDArray[np.float32], rate: int, count: int, length: float) -> NDArray[np.float32]:
    """`count` windows of `length` seconds spread evenly over a recording, one a row, (count, samples).

    The first begins where the recording does and the last ends a tenth of a second before it, as LAVISH (Lin et al.,
    CVPR 2023) and CoLA's authors take them. Silence where the recording is shorter.
    """
    size = int(length * rate)
    last = max(0.0, len(wave) - (length + _BEFORE_END) * rate)
    padded = np.pad(wave, (0, max(0, size - len(wave))))
    return np.stack([padded[start : start + size] for start in np.linspace(0, last, count, dtype=int)])
