"""Augmentation of a training batch, on the device that trains. Every draw comes from the run's own generator."""

from __future__ import annotations

import torch
from torch import Tensor

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
