"""Augmentation of a training batch, on the device that trains. Every draw comes from the run's own generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_LIGHT = 0.25  # deviation of the brightness (as a share of white) and of the contrast of each channel
_GAIN = 0.7  # deviation of the loudness, in natural units of the log-mel energy: about 3 dB


def mirror(images: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Mirrors one in two pictures, and its masks with it.

    Args:
        images: tensors (B, T, ..., width) of equal B and T.
        generator: on the CPU.
    """
    chosen = torch.rand(images[0].shape[:2], generator=generator).to(images[0].device) < 0.5
    return [torch.where(chosen.view(*chosen.shape, *[1] * (x.ndim - 2)), x.flip(-1), x) for x in images]


def relight(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (B, T, 3, H, W) in another light: uint8 to floats, mostly from 0 to 1."""
    light, contrast = (torch.randn(2, *images.shape[:3], 1, 1, generator=generator) * _LIGHT).to(images.device)
    values = images.float() / 255
    return (values - 0.5) * contrast.exp() + 0.5 + light


def gain(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Log-mel energies (B, T, frames, bins) louder or softer."""
    return log_mel + (torch.randn(*log_mel.shape[:2], 1, 1, generator=generator) * _GAIN).to(log_mel.device)


def mirror_with_text(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Mirrors one in two of the pictures whose text can be, with text, box and mask.

    Args:
        batch: `vision` (B, T, 3, H, W), `text` and `mirrored` (B, T, tokens), `mirrors` (B, T), whether the text can
            be; and `box` (B, T, 4) and `mask` (B, T, H, W), or one of them.
        generator: on the CPU.
    """
    drawn = torch.rand(batch["mirrors"].shape, generator=generator).to(batch["mirrors"].device) < 0.5
    chosen = drawn & batch["mirrors"]
    others = {"text": batch["mirrored"]} | {name: batch[name].flip(-1) for name in ("vision", "mask") if name in batch}
    if "box" in batch:
        others["box"] = batch["box"] * batch["box"].new_tensor([-1, 1, 1, 1]) + batch["box"].new_tensor([1, 0, 0, 0])
    return batch | {
        name: torch.where(chosen.view(*chosen.shape, *[1] * (x.ndim - 2)), x, batch[name]) for name, x in others.items()
    }


def shrink(batch: dict[str, Tensor], least: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Pictures shrunk towards their middle by chance, with box and mask; the edge goes on around them.

    Args:
        batch: `vision` (B, T, 3, H, W), and `box` (B, T, 4) and `mask` (B, T, H, W), or one of them.
        least: the smallest share of its size that a picture keeps; 1 for none.
        generator: on the CPU.
    """
    if least == 1:
        return batch
    vision = batch["vision"].flatten(0, 1)
    share = (least + (1 - least) * torch.rand(len(vision), generator=generator)).to(vision.device)
    theta = torch.zeros(len(vision), 2, 3, device=vision.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / share
    grid = F.affine_grid(theta, [len(vision), 1, *vision.shape[-2:]], align_corners=False)
    smaller = F.grid_sample(vision.float(), grid, padding_mode="border", align_corners=False)
    changed = {"vision": smaller.round().to(torch.uint8).view(batch["vision"].shape)}
    if "mask" in batch:
        mask = batch["mask"].flatten(0, 1)[:, None].float()
        inside = F.grid_sample(mask, grid, padding_mode="zeros", align_corners=False)[:, 0]
        changed["mask"] = inside.round().to(torch.uint8).view(batch["mask"].shape)
    if "box" in batch:
        half = batch["box"].new_tensor([0.5, 0.5, 0, 0])
        changed["box"] = (batch["box"] - half) * share.view(batch["box"].shape[:2])[..., None] + half
    return batch | changed


def jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Pictures (B, T, 3, H, W) in other colours: uint8 to floats, from 0 to 1.

    Brightness, contrast and saturation each change by up to 40% of `strength`; the hue stays, since texts name it.
    """
    factors = 1 + 0.4 * strength * (2 * torch.rand(3, *images.shape[:2], 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.clamp(min=0).to(images.device)
    values = images.float() / 255 * brightness
    middle = values.mean((-3, -2, -1), keepdim=True)
    values = (values - middle) * contrast + middle
    grey = (values * values.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(-3, keepdim=True)
    return ((values - grey) * saturation + grey).clamp(0, 1)
