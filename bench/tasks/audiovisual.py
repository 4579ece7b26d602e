"""The inputs of audio-visual tasks: the images and the sound of the seconds of a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import DataError
from bench.streams.inputs import ImageInput, SoundInput

if TYPE_CHECKING:
    import numpy as np

    from bench.tasks.base import Inputs


class _Release(Protocol):
    def frames(self, item: Any, size: int) -> np.ndarray: ...

    def waves(self, item: Any, rate: int, window_s: float | None) -> np.ndarray: ...


def video_inputs(release: _Release, item: Any, inputs: Inputs) -> dict[str, np.ndarray]:
    """Return the inputs of an item of a release, as its streams read them.

    Args:
        release: Reads images and sounds.
        item: The item of the release.
        inputs: The form of the inputs of `vision` and `audio`.

    Returns:
        `vision` (T, 3, size, size), uint8, and `audio` (T, ...): spectrograms (frames, bins) or waveforms (samples).
    """
    image, sound = inputs["vision"], inputs["audio"]
    assert isinstance(image, ImageInput) and isinstance(sound, SoundInput)
    return {
        "vision": release.frames(item, image.size),
        "audio": sound.encode(release.waves(item, sound.sample_rate, sound.window_s)),
    }


def read_video(frames: Path, sound: Path, name: str, count: int, inputs: Inputs) -> dict[str, np.ndarray]:
    """Return pictures and sounds of a video, as its streams read them.

    Args:
        frames: Folder of the video's pictures, ordered by the numbers in their names.
        sound: File of the video's sound.
        name: Name of the sample, for messages.
        count: Number of pictures, spread evenly, and of sounds: the first seconds, or windows spread evenly if the
            stream has a `window_s`.
        inputs: The form of the inputs of `vision` and `audio`.

    Returns:
        What `video_inputs` returns, for T = `count`.

    Raises:
        DataError: A file is missing or broken.
    """
    import numpy as np

    from bench.datasets import media, pictures

    image, audio = inputs["vision"], inputs["audio"]
    assert isinstance(image, ImageInput) and isinstance(audio, SoundInput)
    if not (paths := pictures.numbered(frames)):
        raise DataError(f"sample {name}: no frames ({', '.join(pictures.ENDINGS)}) in {frames}")
    middles = ((np.arange(count) + 0.5) * len(paths) / count).astype(int)
    wave = media.read_audio(sound, name, audio.sample_rate)
    return {
        "vision": np.stack([media.read_image(paths[index], name, image.size) for index in middles]),
        "audio": audio.encode(media.pieces(wave, audio.sample_rate, count, audio.window_s)),
    }
