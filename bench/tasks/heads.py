"""Heads: those of the audio-visual tasks, and one that pools.

Dimensions in names: B inputs, or samples of T inputs, D width, E channels, H and W rows and columns of places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.lockstep import Masks, States
from bench.tasks.model import Head

_FINER = 4  # mask cells along each side of a place


class ClassTokens(Head):
    """The class tokens of all streams (the mean if a stream has none), concatenated, through two linears."""

    def __init__(self, widths: Mapping[str, int], hidden: int, classes: int) -> None:
        super().__init__()
        self.streams = tuple(widths)
        self.layers = nn.Sequential(nn.Linear(sum(widths.values()), hidden), nn.Linear(hidden, classes))

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return logits (B, classes)."""
        return self.layers(torch.cat([self.summary(states, name, masks) for name in self.streams], dim=-1))


class PooledOverInputs(Head):
    """The summaries of all streams at each of a sample's T inputs, mixed; the logits are those of their mean over T."""

    pools = True

    def __init__(self, widths: Mapping[str, int], hidden: int, classes: int) -> None:
        super().__init__()
        self.streams = tuple(widths)
        self.mix = nn.Linear(sum(widths.values()), hidden)
        self.classify = nn.Linear(hidden, classes)

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return logits (B, classes)."""
        summaries = [self.summary(states, name, masks) for name in self.streams]
        inputs = max(x_BTD.shape[1] for x_BTD in summaries)  # T; of a text beside a video it is 1
        x_BTD = torch.cat([x_BTD.expand(-1, inputs, -1) for x_BTD in summaries], dim=-1)
        return self.classify(F.gelu(self.mix(x_BTD)).mean(1))


class MaskDecoder(Head):
    """A mask from vision tokens, with attention between each place and the sound.

    Places attend to the sound as in the TPAVI module of Zhou et al. (ECCV 2022):

        z = f + w(theta(f) . phi(a) * g(f))

    where a is the class token of audio. Convolutions follow; the last one predicts 4 x 4 mask cells for each place.
    """

    def __init__(self, vision: int, audio: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(vision, hidden, 1)
        self.theta = nn.Conv2d(hidden, hidden, 1)
        self.phi = nn.Linear(audio, hidden)
        self.g = nn.Conv2d(hidden, hidden, 1)
        self.w = nn.Conv2d(hidden, hidden, 1)
        self.near = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.deep = nn.Conv2d(hidden, hidden, 1)
        self.mask = nn.Conv2d(hidden, _FINER**2, 1)

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return the logits (B, 4 x rows, 4 x columns) of the mask."""
        f_BEHW = self.reduce(places(states["vision"]))
        a_BE11 = self.phi(self.summary(states, "audio", masks))[..., None, None]
        match_B1HW = (self.theta(f_BEHW) * a_BE11).sum(1, keepdim=True) / math.sqrt(f_BEHW.shape[1])
        f_BEHW = f_BEHW + self.w(match_B1HW * self.g(f_BEHW))
        f_BEHW = F.gelu(self.near(f_BEHW))
        f_BEHW = F.gelu(self.deep(f_BEHW))
        return F.pixel_shuffle(self.mask(f_BEHW), _FINER)[:, 0]


def places(tokens_BTD: Tensor) -> Tensor:
    """Return the patch tokens of a square image as a grid (B, D, H, W), without the special tokens before them."""
    side = math.isqrt(tokens_BTD.shape[1])
    return tokens_BTD[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))
