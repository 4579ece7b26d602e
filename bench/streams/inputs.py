"""What a stream reads: the form of its media and the statistics it was pretrained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageInput:
    """Square RGB images.

    Attributes:
        size: side in pixels.
        mean: mean of each channel, of values from 0 to 1.
        std: standard deviation of each channel, likewise.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalise(self, image: Tensor) -> Tensor:
        """Return `(image - mean) / std` of images (..., 3, H, W), uint8 or floats from 0 to 1."""
        if image.dtype == torch.uint8:
            image = image.float() / 255
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` that says the same."""
        size = {"height": self.size, "width": self.size}
        return {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": size,
            "resample": 3,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], size: int | None = None) -> ImageInput:
        """Read a `preprocessor_config.json`; `size` overrules the size in it.

        Raises:
            KeyError: a value is missing.
        """
        # DINOv2's checkpoints resize to 256 and then crop: the crop is what the encoder sees.
        stored = values["crop_size"] if values.get("do_center_crop") else values["size"]
        stored = stored["height"] if isinstance(stored, Mapping) else stored
        return cls(size or int(stored), _triple(values["image_mean"]), _triple(values["image_std"]))


@dataclass(frozen=True)
class AudioInput:
    """Log-mel spectrograms.

    Attributes:
        sample_rate: of the waveform, in Hz.
        mel_bins: bins of the filter bank.
        frames: length in frames (10 ms each).
        mean: mean of the log-mel values.
        std: their standard deviation.
    """

    sample_rate: int
    mel_bins: int
    frames: int
    mean: float
    std: float

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Return `(log_mel - mean) / (2 std)` of spectrograms (..., frames, mel_bins), as AST does."""
        return (log_mel - self.mean) / (2 * self.std)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` that says the same."""
        return {
            "feature_extractor_type": "ASTFeatureExtractor",
            "feature_size": 1,
            "sampling_rate": self.sample_rate,
            "num_mel_bins": self.mel_bins,
            "max_length": self.frames,
            "do_normalize": True,
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], frames: int | None = None) -> AudioInput:
        """Read a `preprocessor_config.json`; `frames` overrules the length in it.

        Raises:
            KeyError: a value is missing.
        """
        return cls(
            sample_rate=int(values["sampling_rate"]),
            mel_bins=int(values["num_mel_bins"]),
            frames=frames or int(values["max_length"]),
            mean=float(values["mean"]),
            std=float(values["std"]),
        )


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
