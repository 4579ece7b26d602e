"""The inputs of audio-visual tasks: the images and the sound of the seconds of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from bench.streams.inputs import AudioInput, ImageInput

if TYPE_CHECKING:
    import numpy as np

    from bench.tasks.base import Inputs


class _Release(Protocol):
    def frames(self, item: Any, size: int) -> np.ndarray: ...

    def log_mels(
        self, item: Any, rate: int, bins: int, frames: int, *, window_s: float | None, filler: float
    ) -> np.ndarray: ...


def video_inputs(release: _Release, item: Any, inputs: Inputs) -> dict[str, np.ndarray]:
    """Return the inputs of an item of a release, as its streams read them.

    Args:
        release: Reads images and sounds.
        item: The item of the release.
        inputs: The form of the inputs of `vision` and `audio`.

    Returns:
        `vision` (T, 3, size, size), uint8, and `audio` (T, frames, bins), log-mel.
    """
    image, sound = inputs["vision"], inputs["audio"]
    assert isinstance(image, ImageInput) and isinstance(sound, AudioInput)
    form = sound.sample_rate, sound.mel_bins, sound.frames
    return {
        "vision": release.frames(item, image.size),
        "audio": release.log_mels(item, *form, window_s=sound.window_s, filler=sound.filler),
    }
