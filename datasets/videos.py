"""Takes videos apart into frames and sound, with PyAV: the extra `video`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from bench.datasets.media import MOST_PIXELS, check_audio, check_pixels
from bench.errors import BenchError, DataError, wording
from bench.files import atomic_file, atomic_folder

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 95  # of the frames' JPEG
_FORMAT = "mp4"  # FFmpeg knows hundreds; some are lists of other files and addresses, which it would open
_WHOLE = 0.9  # share of the frames that the header tells of which can be decoded, as a player may skip a few


def check_library() -> None:
    """Makes sure that PyAV is installed.

    Raises:
        BenchError: it is not.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise BenchError(f"videos are read with PyAV: pip install 'crossmodal-bench[video]' ({error})") from error


def extract(video: Path, sample: str, choose: Callable[[int], Sequence[int]], frames: Path, sound: Path) -> None:
    """Writes frames of a video as 0001.jpg, ... in a folder, and its sound as a WAV file in mono, at its own rate.

    Each is written whole or not at all, the folder last; what is there already is left.

    Args:
        video: the file.
        sample: what it is called in messages.
        choose: which frames, given how many there are; in ascending order, the same again where there are too few.
        frames: the folder.
        sound: the WAV file.

    Raises:
        DataError: the file is missing or broken, or has no pictures or no sound.
    """
    if not sound.is_file():
        wave, rate = read_sound(video, sample)
        with atomic_file(sound) as file:
            soundfile.write(file, wave, rate, subtype="PCM_16", format="WAV")
    if not frames.is_dir():
        pictures = read_frames(video, sample, choose)
        with atomic_folder(frames) as scratch:
            for number, picture in enumerate(pictures, start=1):
                picture.save(scratch / f"{number:04d}.jpg", quality=_QUALITY)


def length(video: Path, sample: str) -> float:
    """How long a video with pictures and sound is by its header, in seconds. The errors are those of `extract`."""
    import av

    for kind in ("audio", "video"):
        with _opened(video, sample, kind) as container:
            seconds = float(container.duration or 0) / av.time_base
    return seconds


def read_frames(video: Path, sample: str, choose: Callable[[int], Sequence[int]]) -> list[Image]:
    """The frames that `choose` names, given how many there are. The errors are those of `extract`."""
    with _opened(video, sample, "video") as container:
        count, told = sum(1 for _ in container.decode(video=0)), container.streams.video[0].frames
    if count < max(1, _WHOLE * told):
        raise DataError(f"sample {sample}: video {video} ends early: it has {count} frames of {told}")
    places = choose(count)
    with _opened(video, sample, "video") as container:
        found = {place: frame.to_image() for place, frame in enumerate(container.decode(video=0)) if place in {*places}}
    return [found[place] for place in places]


def read_sound(video: Path, sample: str) -> tuple[NDArray[np.float32], int]:
    """The sound averaged to mono, (samples,), in -1..1, and its sample rate. The errors are those of `extract`."""
    import av

    with _opened(video, sample, "audio") as container:
        rate = container.streams.audio[0].rate
        planar = av.AudioResampler(format="fltp")
        pieces, count = [], 0
        for frame in chain(container.decode(audio=0), [None]):  # at None it gives what it still has
            for piece in planar.resample(frame):
                pieces.append(piece.to_ndarray().mean(axis=0))
                count += piece.samples
                check_audio(count, 1, rate)
    if not pieces:
        raise DataError(f"sample {sample}: the audio of {video} is empty")
    return np.concatenate(pieces), rate


@contextmanager
def _opened(video: Path, sample: str, kind: str) -> Iterator[Any]:
    """The file, opened, with a stream of that kind; what PyAV raises is told with the sample."""
    import av

    try:
        with av.open(str(video), format=_FORMAT) as container:
            streams = getattr(container.streams, kind)
            if not streams:
                raise DataError(f"sample {sample}: {video} has no {kind} stream")
            streams[0].thread_count = 1  # videos are read side by side
            if kind == "video":
                check_pixels(streams[0].height, streams[0].width)
                streams[0].codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # of each frame by itself
            yield container
    except FileNotFoundError as error:
        raise DataError(f"sample {sample}: video {video} is missing") from error
    except DataError:
        raise
    except Exception as error:  # a broken file can make a decoder fail in any way
        raise DataError(f"sample {sample}: video {video} cannot be read: {wording(error)}") from error
