"""Augmentation of training batches, on the training device. All draws use the run's own generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_LIGHT = 0.25  # standard deviation of brightness (as a fraction of white) and log contrast of each channel
_GAIN = 0.7  # standard deviation of the loudness, in natural units of log-mel energy: about 3 dB


def mirror(images: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Mirror half of the images at random, and their masks with them.

    Args:
        images: Tensors (B, T, ..., width) of equal B and T.
        generator: Draws, on the CPU.

    Returns:
        Tensors of the same shapes.
    """
    chosen = torch.rand(images[0].shape[:2], generator=generator).to(images[0].device) < 0.5
    return [torch.where(chosen.view(*chosen.shape, *[1] * (x.ndim - 2)), x.flip(-1), x) for x in images]


def relight(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, T, 3, H, W) with random brightness and contrast: uint8 to floats, mostly from 0 to 1."""
    light, contrast = (torch.randn(2, *images.shape[:3], 1, 1, generator=generator) * _LIGHT).to(images.device)
    values = images.float() / 255
    return (values - 0.5) * contrast.exp() + 0.5 + light


def gain(sound: Tensor, generator: torch.Generator) -> Tensor:
    """Return log-mel energies (B, T, frames, bins), or waveforms (B, T, samples), with random loudness."""
    louder = (torch.randn(*sound.shape[:2], *[1] * (sound.ndim - 2), generator=generator) * _GAIN).to(sound.device)
    return sound + louder if sound.ndim == 4 else sound * (louder / 2).exp()  # energy is the square of the amplitude


def mirror_with_text(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Mirror half of the images whose text can be mirrored at random, with text, box and mask.

    Args:
        batch: `vision` (B, T, 3, H, W); `text` and `mirrored` (B, T, tokens); `mirrors` (B, T), whether the text can be
            mirrored; and `box` (B, T, 4), `mask` (B, T, H, W), or both. For texts whose T is 1, all images of a sample
            are mirrored or none.
        generator: Draws, on the CPU.

    Returns:
        A batch with the same tensors.
    """
    drawn = torch.rand(batch["mirrors"].shape, generator=generator).to(batch["mirrors"].device) < 0.5
    chosen = drawn & batch["mirrors"]
    mirrored = {"text": batch["mirrored"]} | {
        name: batch[name].flip(-1) for name in ("vision", "mask") if name in batch
    }
    if "box" in batch:
        mirrored["box"] = batch["box"] * batch["box"].new_tensor([-1, 1, 1, 1]) + batch["box"].new_tensor([1, 0, 0, 0])
    return batch | {
        name: torch.where(chosen.view(*chosen.shape, *[1] * (x.ndim - 2)), x, batch[name])
        for name, x in mirrored.items()
    }


def shrink(batch: dict[str, Tensor], min_scale: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Shrink images towards their center at random, with box and mask; the edge pixels fill the border.

    Args:
        batch: `vision` (B, T, 3, H, W), and `box` (B, T, 4), `mask` (B, T, H, W), or both.
        min_scale: Smallest scale, as a fraction of the size; 1 changes nothing.
        generator: Draws, on the CPU.

    Returns:
        A batch with the same tensors.
    """
    if min_scale == 1:
        return batch
    vision = batch["vision"].flatten(0, 1)
    scale = (min_scale + (1 - min_scale) * torch.rand(len(vision), generator=generator)).to(vision.device)
    theta = torch.zeros(len(vision), 2, 3, device=vision.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / scale
    grid = F.affine_grid(theta, [len(vision), 1, *vision.shape[-2:]], align_corners=False)
    smaller = F.grid_sample(vision.float(), grid, padding_mode="border", align_corners=False)
    changed = {"vision": smaller.round().to(torch.uint8).view(batch["vision"].shape)}
    if "mask" in batch:
        mask = batch["mask"].flatten(0, 1)[:, None].float()
        inside = F.grid_sample(mask, grid, padding_mode="zeros", align_corners=False)[:, 0]
        changed["mask"] = inside.round().to(torch.uint8).view(batch["mask"].shape)
    if "box" in batch:
        half = batch["box"].new_tensor([0.5, 0.5, 0, 0])
        changed["box"] = (batch["box"] - half) * scale.view(batch["box"].shape[:2])[..., None] + half
    return batch | changed


def jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Return images (B, T, 3, H, W) with random colors: uint8 to floats from 0 to 1.

    Brightness, contrast and saturation each change by up to 40% of `strength`. The hue stays, since texts name it.

    Args:
        images: Images (B, T, 3, H, W), uint8.
        strength: 1 for the common strength, 0 for none.
        generator: Draws, on the CPU.
    """
    factors = 1 + 0.4 * strength * (2 * torch.rand(3, *images.shape[:2], 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.clamp(min=0).to(images.device)
    values = images.float() / 255 * brightness
    middle = values.mean((-3, -2, -1), keepdim=True)
    values = (values - middle) * contrast + middle
    grey = (values * values.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(-3, keepdim=True)
    return ((values - grey) * saturation + grey).clamp(0, 1)
