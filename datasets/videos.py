"""Extracts frames and sound from videos with PyAV (the extra `video`); `timeline` defines what a second is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from bench.datasets import mp4
from bench.datasets.media import check_audio, check_pixels
from bench.datasets.timeline import Timing, frames_of_seconds, read_timing
from bench.errors import BenchError, DataError, wording
from bench.files import atomic_file, atomic_folder, write_text

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 2**23  # of a frame: 4K video; one frame per second is in memory
MAX_FRAMES = 100_000  # ten minutes at 160 frames per second
MAX_DECODED_PIXELS = 2**32  # of all frames: ten seconds of 4K at 50 frames per second

_QUALITY = 95  # of the frames' JPEG
_FORMAT = "mp4"  # FFmpeg supports hundreds; some are lists of other files and addresses, which it would open
_MIN_DECODABLE = 0.9  # share of the frames that must be decodable; players skip a few, too
_JITTER = Fraction(1, 100)  # seconds by which rounding may shift the times of consecutive pieces of sound


def check_library() -> None:
    """Check that PyAV is installed.

    Raises:
        BenchError: It is not installed.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise BenchError(f"videos are read with PyAV: pip install 'crossmodal-bench[video]' ({error})") from error


@dataclass(frozen=True)
class Clip:
    """The first seconds of a video.

    Attributes:
        places: Index, in the order of decoding, of the frame that represents each second.
        wave: The sound averaged to mono, (seconds * rate,), from -1 to 1; silence where the video has none.
        rate: The video's sample rate, in Hz.
        timing: Which frames and how much sound the video has in each second.
    """

    places: list[int]
    wave: NDArray[np.float32]
    rate: int
    timing: Timing


def extract(video: Path, sample: str, seconds: int, frames: Path, sound: Path, timing: Path) -> None:
    """Write the frames and the sound of the first seconds of a video.

    Each output is written atomically; existing output is kept.

    Args:
        video: The video's file.
        sample: The video's name in messages.
        seconds: Number of seconds.
        frames: Output folder for one frame per second: 0001.jpg, ...
        sound: Output WAV file, mono, with exactly these seconds.
        timing: Output file for the clip's timing, written last.

    Raises:
        DataError: The video is missing or broken, or has no pictures or no sound.
    """
    clip = read_clip(video, sample, seconds)
    if not sound.is_file():
        with atomic_file(sound) as file:
            soundfile.write(file, clip.wave, clip.rate, subtype="PCM_16", format="WAV")
    if not frames.is_dir():
        pictures = read_frames(video, sample, clip.places)
        with atomic_folder(frames) as scratch:
            for number, picture in enumerate(pictures, start=1):
                picture.save(scratch / f"{number:04d}.jpg", quality=_QUALITY)
    if read_timing(timing, sample) != clip.timing:
        write_text(timing, clip.timing.text())


def length(video: Path, sample: str) -> float:
    """Return the length, by its header, of a video with pictures and sound, in seconds; errors as for `extract`."""
    import av

    for kind in ("audio", "video"):
        with _opened(video, sample, kind) as (container, _):
            seconds = float(container.duration or 0) / av.time_base
    return seconds


def read_clip(video: Path, sample: str, seconds: int) -> Clip:
    """Return the clip of the first seconds of a video; errors as for `extract`."""
    starts, pictures_end = _frame_times(video, sample)
    order = sorted(range(len(starts)), key=starts.__getitem__)  # by presentation, if the decoder's order differs
    wave, has_sound, rate, origin, sound_end = _read_sound(video, sample, starts[order[0]], seconds)
    presented = [starts[index] - origin for index in order]
    indices = frames_of_seconds(presented, seconds)
    timing = Timing(
        frames=tuple(round(float(presented[index]), 6) for index in indices),
        sound=tuple(np.round(has_sound.reshape(seconds, rate).mean(axis=1), 4).tolist()),
        end=round(float(max(pictures_end, sound_end) - origin), 6),
    )
    return Clip([order[index] for index in indices], wave, rate, timing)


def read_frames(video: Path, sample: str, places: Sequence[int]) -> list[Image]:
    """Return the frames at these indices in the order of decoding; errors as for `extract`."""
    requested = {*places}
    with _opened(video, sample, "video") as (container, stream):
        frames = {place: frame.to_image() for place, frame in enumerate(container.decode(stream)) if place in requested}
    if missing := requested - frames.keys():
        raise DataError(f"sample {sample}: video {video} cannot be read: it has no frame {min(missing)}")
    return [frames[place] for place in places]


def _frame_times(video: Path, sample: str) -> tuple[list[Fraction], Fraction]:
    """Return each frame's start, in the order of decoding, and the last one's end, in seconds of the file's clock."""
    starts: list[Fraction] = []
    end, sent, decoded = Fraction(0), 0, 0
    with _opened(video, sample, "video") as (container, stream):
        for packet in container.demux(stream):
            # Frames that an edit list omits are still in the file, since other frames are decoded from them.
            sent += bool(packet.size) and not packet.is_discard
            for frame in packet.decode():
                starts.append(_time(frame, end))
                decoded += frame.width * frame.height
                if decoded > MAX_DECODED_PIXELS or len(starts) > MAX_FRAMES:
                    raise ValueError(
                        f"more than {MAX_FRAMES:,} frames, or more than {MAX_DECODED_PIXELS:,} pixels in all frames"
                    )
                # If the file does not state a frame's duration, use that of the frame before it.
                duration = (
                    frame.duration * frame.time_base if frame.duration else starts[-1] - starts[max(0, len(starts) - 2)]
                )
                end = max(end, starts[-1] + duration)
        expected = (stream.duration or 0) * stream.time_base
    if not starts or len(starts) < _MIN_DECODABLE * sent or end - min(starts) < Fraction(_MIN_DECODABLE) * expected:
        decoded_s = float(end - min(starts, default=end))
        raise DataError(
            f"sample {sample}: video {video} ends early: {len(starts)} frames ({decoded_s:.1f} seconds) can be "
            f"decoded, but its header says {float(expected):.1f} seconds"
        )
    return starts, end


def _read_sound(
    video: Path, sample: str, first_frame: Fraction, seconds: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int, Fraction, Fraction]:
    """Return the sound of the first seconds of the timeline.

    Returns:
        The waveform, (seconds * rate,), with silence where the video has no sound; a mask of where it has sound,
        (seconds * rate,); the sample rate in Hz; and, in seconds of the file's clock, the start of the timeline and the
        end of the sound.
    """
    import av

    wave, has_sound = np.zeros(0, np.float32), np.zeros(0, np.bool_)
    rate, count = 0, 0
    origin = end = first_frame
    with _opened(video, sample, "audio") as (container, stream):
        planar = av.AudioResampler(format="fltp")
        for frame in chain(container.decode(stream), [None]):  # None flushes the resampler
            if frame is not None and (not rate or abs(_time(frame, end) - end) > _JITTER):
                end = _time(frame, end)
            if frame is not None and not rate:
                rate, origin = frame.sample_rate, min(first_frame, end)
                check_audio(seconds * rate, 1, rate)
                wave, has_sound = np.zeros(seconds * rate, np.float32), np.zeros(seconds * rate, np.bool_)
            for piece in planar.resample(frame):
                count += piece.samples
                check_audio(count, 1, rate)
                offset = round((end - origin) * rate)
                values = piece.to_ndarray().mean(axis=0)[max(0, -offset) :]
                span = slice(max(0, offset), max(0, offset) + len(values))
                wave[span] = values[: len(wave[span])]
                has_sound[span] = True
                end += Fraction(piece.samples, rate)
    if not count:
        raise DataError(f"sample {sample}: the audio of {video} is empty")
    return wave, has_sound, rate, origin, end


def _time(frame: Any, default: Fraction) -> Fraction:
    """Return when a frame starts, in seconds of the file's clock; `default` if the file does not say."""
    return default if frame.pts is None else frame.pts * frame.time_base


@contextmanager
def _opened(video: Path, sample: str, kind: str) -> Iterator[tuple[Any, Any]]:
    """Open a file and yield it with its main stream of a kind; PyAV's errors become DataErrors that name the sample."""
    import av

    try:
        mp4.check(video)
        with av.open(str(video), format=_FORMAT) as container:
            stream: Any = container.streams.best(kind)  # type: ignore[arg-type]
            if not stream:
                raise DataError(f"sample {sample}: {video} has no {kind} stream")
            stream.thread_count = 1  # several videos are read in parallel
            if kind == "video":
                check_pixels(stream.height, stream.width, MAX_PIXELS)
                stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # checked for every frame
            yield container, stream
    except FileNotFoundError as error:
        raise DataError(f"sample {sample}: video {video} is missing") from error
    except (DataError, MemoryError):  # running out of memory does not mean that the file is bad
        raise
    except Exception as error:  # a broken file can make a decoder fail in any way
        raise DataError(f"sample {sample}: video {video} cannot be read: {wording(error)}") from error
