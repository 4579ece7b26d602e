"""The inputs of audio-visual tasks: the images and the sound of the seconds of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

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
