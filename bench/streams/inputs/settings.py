"""The settings of an input that a suite or a command may override."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypedDict

Pad: TypeAlias = Literal["zeros", "mean"]
"""The padding of a spectrogram, before normalization."""


class InputSettings(TypedDict, total=False):
    """Settings of an input that override those of the checkpoint; None keeps the checkpoint's."""

    size: int | None
    """Side of the images, in pixels."""
    frames: int | None
    """Length of the spectrograms, in frames; by default that of the sound, or the checkpoint's if that is shorter."""
    mean: float | None
    """Mean of the log-mel values."""
    std: float | None
    """Their standard deviation."""
    pad: Pad | None
    """The padding of shorter spectrograms; see `AudioInput`."""
    window_s: float | None
    """Seconds of sound for each spectrogram; see `AudioInput`."""
    length: int | None
    """Tokens of a text; 40 if the checkpoint does not say."""
