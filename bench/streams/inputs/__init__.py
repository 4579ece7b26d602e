"""The form of what a stream reads, and the statistics of the media it was pretrained on."""

from __future__ import annotations

from typing import TypeAlias

from bench.streams.inputs.images import ImageInput
from bench.streams.inputs.settings import InputSettings
from bench.streams.inputs.sounds import SECOND, AudioInput, SoundInput, SpectrogramInput, WaveformInput, WhisperInput
from bench.streams.inputs.text import TextInput, TextWithoutTokenizer

__all__ = [
    "SECOND",
    "AudioInput",
    "ImageInput",
    "Input",
    "InputSettings",
    "SoundInput",
    "SpectrogramInput",
    "TextInput",
    "TextWithoutTokenizer",
    "WaveformInput",
    "WhisperInput",
]

Input: TypeAlias = ImageInput | AudioInput | WhisperInput | WaveformInput | TextInput
"""The input of any stream. `kind` names it; `options` are the `InputSettings` that it accepts, its size first."""
