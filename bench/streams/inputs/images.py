"""Images as inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.streams import limits
from bench.streams.inputs.bounds import check_range, check_statistics

_Channels: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class ImageInput:
    """Square RGB images.

    Attributes:
        size: Side, in pixels.
        mean: Mean of each channel, for values from 0 to 1.
        std: Standard deviation of each channel, for values from 0 to 1.
        kind: The name of this kind of input.
        options: The `InputSettings` that apply.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    kind: ClassVar[str] = "images"
    options: ClassVar[tuple[str, ...]] = ("size",)

    def __post_init__(self) -> None:
        check_range("the side of images in pixels", self.size, *limits.SIDES)
        for mean, std in zip(self.mean, self.std, strict=True):
            check_statistics(mean, std)

    def normalize(self, image: Tensor) -> Tensor:
        """Return `(image - mean) / std` of images (..., 3, H, W), uint8 or floats from 0 to 1."""
        if image.dtype == torch.uint8:
            image = image.float() / 255
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random images (*shape, 3, size, size), uint8 like those of samples."""
        return torch.randint(256, (*shape, 3, self.size, self.size), dtype=torch.uint8, generator=generator)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values."""
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
        """Return the input that a `preprocessor_config.json` describes.

        Args:
            values: Content of the file. Its mean and standard deviation are converted to those of values from 0 to 1 if
                it rescales pixels to another range, or not at all.
            size: Side in pixels that overrides the file's; None for the file's.

        Raises:
            KeyError: A value is missing.
            BenchError: The images are not square.
        """
        mean, std = _statistics(values)
        return cls(size or _stored_size(values), mean, std)


def _statistics(values: Mapping[str, Any]) -> tuple[_Channels, _Channels]:
    """Return the mean and the standard deviation of each channel, for pixels from 0 to 1."""
    if values.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        mean, std = _triple(values["image_mean"]), _triple(values["image_std"])
    factor = 1.0 if values.get("do_rescale") is False else float(values.get("rescale_factor") or 1 / 255)
    white = 255 * factor  # the value of a white pixel before normalization
    if math.isclose(white, 1.0, rel_tol=1e-6):  # stored factors are rounded
        return mean, std
    return _triple([value / white for value in mean]), _triple([value / white for value in std])


def _stored_size(values: Mapping[str, Any]) -> int:
    # DINOv2's checkpoints resize to 256 and then crop: the crop is the size that the encoder reads.
    stored = values["crop_size"] if values.get("do_center_crop") else values["size"]
    advice = (
        "Set the side of the square images that the encoder was pretrained on, in pixels, as the size of the stream "
        "(vision.size=224)"
    )
    if not isinstance(stored, Mapping):
        return int(stored)
    if "height" not in stored:  # such as for images that keep their aspect ratio
        raise BenchError(f"preprocessor_config.json has an image size without a height: {dict(stored)}. {advice}")
    if stored["height"] != stored.get("width", stored["height"]):
        raise BenchError(
            f"preprocessor_config.json has images of {stored['height']} x {stored['width']} pixels, but streams read "
            f"square ones. {advice}"
        )
    return int(stored["height"])


def _triple(values: Any) -> _Channels:
    red, green, blue = values
    return float(red), float(green), float(blue)
