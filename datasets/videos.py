"""Takes videos apart into frames and sound, with PyAV: the extra `video`. See `timeline` for what a second is."""

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

MAX_PIXELS = 2**23  # of a frame: one of 4K video; a frame for each second is in memory
MAX_FRAMES = 100_000  # ten minutes at 160 a second
MAX_DECODED_PIXELS = 2**32  # pixels of all frames together: ten seconds of 4K at 50 a second

_QUALITY = 95  # of the frames' JPEG
_FORMAT = "mp4"  # FFmpeg knows hundreds; some are lists of other files and addresses, which it would open
_WHOLE = 0.9  # share of the frames that must be decodable, as a player may skip a few
_JITTER = Fraction(1, 100)  # seconds by which the times of consecutive pieces of sound may be off, being rounded


def check_library() -> None:
    """Make sure that PyAV is installed.

    Raises:
        BenchError: it is not.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise BenchError(f"videos are read with PyAV: pip install 'crossmodal-bench[video]' ({error})") from error


@dataclass(frozen=True)
class Clip:
    """The first seconds of a video.

    Attributes:
        places: for each second, the index of the frame that stands for it.
        wave: the sound averaged to mono, (seconds * rate,), in -1..1; silence where the video has none.
        rate: samples a second, the video's own.
        timing: what the video has of each second.
    """

    places: list[int]
    wave: NDArray[np.float32]
    rate: int
    timing: Timing


def extract(video: Path, sample: str, seconds: int, frames: Path, sound: Path, timing: Path) -> None:
    """Write what stands for the first seconds of a video.

    Each is written whole or not at all; what is there already is left.

    Args:
        video: the file.
        sample: what it is called in messages.
        seconds: how many.
        frames: the folder for a frame of each second, 0001.jpg, ...
        sound: the WAV file, in mono, of just these seconds.
        timing: the file for the clip's timing, which is written last.

    Raises:
        DataError: the video is missing or broken, or has no pictures or no sound.
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
    """How long a video with pictures and sound is by its header, in seconds. The errors are those of `extract`."""
    import av

    for kind in ("audio", "video"):
        with _opened(video, sample, kind) as (container, _):
            seconds = float(container.duration or 0) / av.time_base
    return seconds


def read_clip(video: Path, sample: str, seconds: int) -> Clip:
    """Return what stands for the first seconds of a video. The errors are those of `extract`."""
    starts, pictures_end = _frame_times(video, sample)
    order = sorted(range(len(starts)), key=starts.__getitem__)  # as presented, should a decoder give them otherwise
    wave, heard, rate, origin, sound_end = _read_sound(video, sample, starts[order[0]], seconds)
    presented = [starts[index] - origin for index in order]
    chosen = frames_of_seconds(presented, seconds)
    timing = Timing(
        frames=tuple(round(float(presented[index]), 6) for index in chosen),
        sound=tuple(np.round(heard.reshape(seconds, rate).mean(axis=1), 4).tolist()),
        end=round(float(max(pictures_end, sound_end) - origin), 6),
    )
    return Clip([order[index] for index in chosen], wave, rate, timing)


def read_frames(video: Path, sample: str, places: Sequence[int]) -> list[Image]:
    """Return the frames at these places in the order of decoding. The errors are those of `extract`."""
    wanted = {*places}
    with _opened(video, sample, "video") as (container, stream):
        frames = {place: frame.to_image() for place, frame in enumerate(container.decode(stream)) if place in wanted}
    if missing := wanted - frames.keys():
        raise DataError(f"sample {sample}: video {video} cannot be read: it has no frame {min(missing)}")
    return [frames[place] for place in places]


def _frame_times(video: Path, sample: str) -> tuple[list[Fraction], Fraction]:
    """When each frame begins, in the order of decoding, and when the last one ends, in seconds of the file's clock."""
    starts: list[Fraction] = []
    end, sent, decoded = Fraction(0), 0, 0
    with _opened(video, sample, "video") as (container, stream):
        for packet in container.demux(stream):
            # What an edit list leaves out is in the file as well, since other frames are decoded from it.
            sent += bool(packet.size) and not packet.is_discard
            for frame in packet.decode():
                starts.append(_time(frame, end))
                decoded += frame.width * frame.height
                if decoded > MAX_DECODED_PIXELS or len(starts) > MAX_FRAMES:
                    raise ValueError(
                        f"more than {MAX_FRAMES:,} frames, or than {MAX_DECODED_PIXELS:,} pixels in all of them together"
                    )
                # Where the file does not say how long the frame lasts, it lasts as long as the one before.
                lasting = (
                    frame.duration * frame.time_base if frame.duration else starts[-1] - starts[max(0, len(starts) - 2)]
                )
                end = max(end, starts[-1] + lasting)
        expected = (stream.duration or 0) * stream.time_base
    if not starts or len(starts) < _WHOLE * sent or end - min(starts) < Fraction(_WHOLE) * expected:
        lasts = float(end - min(starts, default=end))
        raise DataError(
            f"sample {sample}: video {video} ends early: {len(starts)} frames of {lasts:.1f} seconds can be decoded, "
            f"its header says {float(expected):.1f} seconds"
        )
    return starts, end


def _read_sound(
    video: Path, sample: str, first_frame: Fraction, seconds: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int, Fraction, Fraction]:
    """Return the sound of the first seconds after the earlier of the first frame and the first sound.

    Returns:
        The wave, (seconds * rate,), silent where there is none; where there is some, (seconds * rate,); its rate; and,
        in seconds of the file's clock, where the timeline begins and where the sound ends.
    """
    import av

    wave, heard = np.zeros(0, np.float32), np.zeros(0, np.bool_)
    rate, count = 0, 0
    origin = end = first_frame
    with _opened(video, sample, "audio") as (container, stream):
        planar = av.AudioResampler(format="fltp")
        for frame in chain(container.decode(stream), [None]):  # at None it gives what it still has
            if frame is not None and (not rate or abs(_time(frame, end) - end) > _JITTER):
                end = _time(frame, end)
            if frame is not None and not rate:
                rate, origin = frame.sample_rate, min(first_frame, end)
                check_audio(seconds * rate, 1, rate)
                wave, heard = np.zeros(seconds * rate, np.float32), np.zeros(seconds * rate, np.bool_)
            for piece in planar.resample(frame):
                count += piece.samples
                check_audio(count, 1, rate)
                at = round((end - origin) * rate)
                values = piece.to_ndarray().mean(axis=0)[max(0, -at) :]
                span = slice(max(0, at), max(0, at) + len(values))
                wave[span] = values[: len(wave[span])]
                heard[span] = True
                end += Fraction(piece.samples, rate)
    if not count:
        raise DataError(f"sample {sample}: the audio of {video} is empty")
    return wave, heard, rate, origin, end


def _time(frame: Any, otherwise: Fraction) -> Fraction:
    """When a frame begins, in seconds of the file's clock; `otherwise` where the file does not say."""
    return otherwise if frame.pts is None else frame.pts * frame.time_base


@contextmanager
def _opened(video: Path, sample: str, kind: str) -> Iterator[tuple[Any, Any]]:
    """Yield the file, opened, and its main stream of that kind; what PyAV raises is told with the sample."""
    import av

    try:
        mp4.check(video)
        with av.open(str(video), format=_FORMAT) as container:
            stream: Any = container.streams.best(kind)  # type: ignore[arg-type]
            if not stream:
                raise DataError(f"sample {sample}: {video} has no {kind} stream")
            stream.thread_count = 1  # videos are read side by side
            if kind == "video":
                check_pixels(stream.height, stream.width, MAX_PIXELS)
                stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # of each frame by itself
            yield container, stream
    except FileNotFoundError as error:
        raise DataError(f"sample {sample}: video {video} is missing") from error
    except (DataError, MemoryError):  # the latter says nothing of the file
        raise
    except Exception as error:  # a broken file can make a decoder fail in any way
        raise DataError(f"sample {sample}: video {video} cannot be read: {wording(error)}") from error
