"""The head of Ref-AVS.

Dimensions in names: B samples, F frames, T text tokens, N places, M vectors of text and sound, D features, H and W rows
and columns of places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.base import mean_token
from bench.streams.lockstep import Masks, States
from bench.tasks.grounding_head import FINER, HEADS, place_codes
from bench.tasks.heads import places
from bench.tasks.model import Head

if TYPE_CHECKING:
    from bench.tasks.base import TextReadout


_LEAST_SHARE = 0.01  # of a batch in the statistics of all
_LEAST_VARIANCE = 1e-5


class SceneDecoder(Head):
    """Masks of a video's frames from vision tokens that attend to the text and to the sounds of all seconds.

    It is the decoder of visual grounding with another memory. The sound of each second, with its time, is multiplied by
    the text, feature by feature: so text and sound say together what is meant, and small data are enough to learn how,
    as they are not for attention. Both are standardized before: what all sounds, or all texts, have in common is larger
    than what tells them apart, and hides it. The places of each frame, with their positions and the time of their
    frame, attend to the text, to all seconds, and to one another. What the seconds say on average is then multiplied
    into each place, which predicts 4 x 4 mask cells.
    """

    pools = True

    def __init__(self, widths: Mapping[str, int], hidden: int, layers: int, reads: TextReadout = "words") -> None:
        """Make the head.

        Args:
            widths: Features of the streams vision, audio and text.
            hidden: Features of the decoder.
            layers: Number of layers of the decoder.
            reads: The vectors of the text to attend to: all "words", "cls" or "mean", see `RefAVS`.
        """
        super().__init__()
        self.reads = reads
        self.vision, self.audio, self.text, self.meaning = (
            nn.Sequential(nn.LayerNorm(widths[name]), nn.Linear(widths[name], hidden))
            for name in ("vision", "audio", "text", "text")
        )
        self.standard_audio, self.standard_text = Standardized(widths["audio"]), Standardized(widths["text"])
        self.sounds, self.target = _mixed(hidden, hidden), nn.Linear(hidden, hidden)
        layer = nn.TransformerDecoderLayer(
            hidden, HEADS, 4 * hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, layers, nn.LayerNorm(hidden))
        self.mask = _mixed(hidden, FINER**2)

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return the logits (B, F, 4 H, 4 W) of the masks."""
        samples, frames = states["vision"].shape[:2]
        v_BDHW = places(states["vision"].flatten(0, 1))
        rows, columns = v_BDHW.shape[-2:]
        x_BND = self.vision(v_BDHW.flatten(2).mT)
        time_FD = place_codes(1, frames, x_BND)
        x_BND = x_BND + place_codes(rows, columns, x_BND) + time_FD.repeat(samples, 1)[:, None]
        sound_BFD = self.summary(states, "audio", masks)
        if self.training:
            self.standard_audio.follow(sound_BFD)
        sound_BFD = self.audio(self.standard_audio(sound_BFD)) + time_FD
        text_BTD, padding_BT, whole_B1D = self._text(states, masks)
        sound_BFD = self.sounds(sound_BFD * self.meaning(whole_B1D))
        memory_BMD = torch.cat([self.text(text_BTD), sound_BFD], dim=1).repeat_interleave(frames, 0)
        padding_BM = None if padding_BT is None else F.pad(padding_BT, (0, frames)).repeat_interleave(frames, 0)
        x_BND = self.decoder(x_BND, memory_BMD, memory_key_padding_mask=padding_BM)
        target_B1D = self.target(sound_BFD.mean(1, keepdim=True)).repeat_interleave(frames, 0)
        cells = self.mask(x_BND * target_B1D).mT.unflatten(2, (rows, columns))
        return F.pixel_shuffle(cells, FINER)[:, 0].unflatten(0, (samples, frames))

    def _text(self, states: States, masks: Masks) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the vectors (B, T, D) to attend to, which of them are padding (B, T), and one for all, (B, 1, D)."""
        text_BTD, mask_BT = states["text"].flatten(1, 2), masks["text"].flatten(1, 2) if "text" in masks else None
        if self.reads == "cls":
            whole_B1D = self.summary(states, "text", masks)
        else:
            whole_B1D = mean_token(text_BTD, mask_BT)[:, None]
        if self.training:
            self.standard_text.follow(whole_B1D)  # which no padding is part of
        whole_B1D, text_BTD = self.standard_text(whole_B1D), self.standard_text(text_BTD)
        if self.reads != "words":
            return whole_B1D, None, whole_B1D
        return text_BTD, None if mask_BT is None else ~mask_BT, whole_B1D


class Standardized(nn.Module):
    """Features less their mean over the training samples so far, divided by their deviation.

    Unlike batch normalization, it does the same in training and in scoring, also for a single vector: the statistics
    follow the batches slowly, and no gradient goes through them.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x_XD: Tensor) -> Tensor:
        """Return vectors (..., D), standardized."""
        return ((x_XD - self.mean) * (self.variance + _LEAST_VARIANCE).rsqrt()).to(x_XD.dtype)

    @torch.no_grad()
    def follow(self, x_XD: Tensor) -> None:
        """Update the statistics by the vectors (..., D) of a training batch."""
        x_ND = x_XD.float().flatten(0, -2)
        self.batches += 1
        share = (1 / self.batches).clamp(min=_LEAST_SHARE)
        self.mean += share * (x_ND.mean(0) - self.mean)
        self.variance += share * ((x_ND - self.mean).square().mean(0) - self.variance)


def _mixed(hidden: int, features: int) -> nn.Module:
    """Return layers that read a product of features."""
    return nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, features))
