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


class SceneDecoder(Head):
    """Masks of a video's frames from vision tokens that attend to the text and to the sounds of all seconds.

    It is the decoder of visual grounding with another memory. The vectors of the text and the summary of the sound of
    each second, with the time of the second, attend to one another in one layer. The places of each frame, with their
    positions and the time of their frame, then attend to all of them, and to one another, and predict 4 x 4 mask cells
    each.
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
        self.vision = nn.Linear(widths["vision"], hidden)
        self.audio = nn.Linear(widths["audio"], hidden)
        self.text = nn.Linear(widths["text"], hidden)
        form = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.meet = nn.TransformerEncoderLayer(hidden, HEADS, 4 * hidden, **form)  # type: ignore[arg-type]
        layer = nn.TransformerDecoderLayer(hidden, HEADS, 4 * hidden, **form)  # type: ignore[arg-type]
        self.decoder = nn.TransformerDecoder(layer, layers, nn.LayerNorm(hidden))
        self.mask = nn.Linear(hidden, FINER**2)

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return the logits (B, F, 4 H, 4 W) of the masks."""
        samples, frames = states["vision"].shape[:2]
        v_BDHW = places(states["vision"].flatten(0, 1))
        rows, columns = v_BDHW.shape[-2:]
        v_BND = self.vision(v_BDHW.flatten(2).mT)
        v_BND = v_BND + place_codes(rows, columns, v_BND)
        time_FD = place_codes(1, frames, v_BND)
        v_BND = v_BND + time_FD.repeat(samples, 1)[:, None]
        memory_BMD, padding_BM = self._memory(states, masks, time_FD)
        memory_BMD = memory_BMD.repeat_interleave(frames, 0)
        padding_BM = None if padding_BM is None else padding_BM.repeat_interleave(frames, 0)
        x_BND = self.decoder(v_BND, memory_BMD, memory_key_padding_mask=padding_BM)
        cells = self.mask(x_BND).mT.unflatten(2, (rows, columns))
        return F.pixel_shuffle(cells, FINER)[:, 0].unflatten(0, (samples, frames))

    def _memory(self, states: States, masks: Masks, time_FD: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the vectors (B, M, D) of text and sound, and which of them are padding (B, M)."""
        a_BFD = self.audio(self.summary(states, "audio", masks)) + time_FD
        text_BTD, mask_BT = states["text"].flatten(1, 2), masks["text"].flatten(1, 2) if "text" in masks else None
        if self.reads == "mean":
            text_BTD, mask_BT = mean_token(text_BTD, mask_BT)[:, None], None
        elif self.reads == "cls":
            text_BTD, mask_BT = self.summary(states, "text", masks), None
        t_BTD = self.text(text_BTD)
        padding_BM = None if mask_BT is None else F.pad(~mask_BT, (0, a_BFD.shape[1]))
        return self.meet(torch.cat([t_BTD, a_BFD], dim=1), src_key_padding_mask=padding_BM), padding_BM
