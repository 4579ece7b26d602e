"""The head of visual grounding.

Dimensions in names: B inputs, T text tokens, N places, D features, H and W rows and columns of places.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.base import mean_token
from bench.streams.lockstep import Masks, States
from bench.tasks.heads import places
from bench.tasks.model import Head

if TYPE_CHECKING:
    from bench.tasks.base import TextReadout

FINER = 4  # mask cells along each side of a place
HEADS = 4
_NEAR = 1 / 8  # fraction of the side of the square


class GroundingDecoder(Head):
    """A small cross-modal decoder: a query for the box and the vision tokens attend to one another and to the text.

    An MLP predicts the box from the query, relative to a reference point: the mean of the places that the query attends
    to, as in Conditional DETR (Meng et al., ICCV 2021), which found that boxes are learned faster this way. In scoring,
    only the places around the most attended one count, since the mean of two candidate objects is on neither. The mask
    is predicted from the vision tokens.
    """

    def __init__(
        self, vision: int, text: int, hidden: int, layers: int, targets: tuple[str, ...], reads: TextReadout = "words"
    ) -> None:
        """Make the head.

        Args:
            vision: Features of the vision stream.
            text: Features of the text stream.
            hidden: Features of the decoder.
            layers: Number of layers of the decoder.
            targets: "box", "mask" or both.
            reads: The vectors of the text to attend to: all "words", "cls" or "mean", see `Grounding`.
        """
        super().__init__()
        self.targets, self.reads = targets, reads
        self.vision = nn.Linear(vision, hidden)
        self.text = nn.Linear(text, hidden)
        self.query = nn.Parameter(torch.randn(1, 1, hidden) * 0.02)
        layer = nn.TransformerDecoderLayer(
            hidden, HEADS, 4 * hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, layers, nn.LayerNorm(hidden))
        if "box" in targets:
            self.look = nn.Linear(hidden, hidden)
            self.box = nn.Sequential(
                nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 4)
            )
        if "mask" in targets:
            self.mask = nn.Linear(hidden, FINER**2)

    def forward(self, states: States, masks: Masks) -> dict[str, Tensor]:
        """Return the predictions for each input.

        Returns:
            `box` (B, 4), center x, center y, width and height in fractions of the square; `mask` (B, 4 H, 4 W), logits.
        """
        v_BDHW = places(states["vision"])
        rows, columns = v_BDHW.shape[-2:]
        v_BND = self.vision(v_BDHW.flatten(2).mT)
        v_BND = v_BND + place_codes(rows, columns, v_BND)
        x_BND = torch.cat([self.query.expand(len(v_BND), -1, -1), v_BND], dim=1)
        x_BND = self._read(x_BND, states, masks)
        output = {}
        if "box" in self.targets:
            output["box"] = self._box(x_BND[:, 0], x_BND[:, 1:], rows, columns)
        if "mask" in self.targets:
            cells = self.mask(x_BND[:, 1:]).mT.unflatten(2, (rows, columns))
            output["mask"] = F.pixel_shuffle(cells, FINER)[:, 0]
        return output

    def _read(self, x_BND: Tensor, states: States, masks: Masks) -> Tensor:
        if self.reads != "words":
            mean = self.reads == "mean"
            read_BD = mean_token(states["text"], masks.get("text")) if mean else self.summary(states, "text", masks)
            return self.decoder(x_BND, self.text(read_BD)[:, None])
        padding_BT = ~masks["text"] if "text" in masks else None
        return self.decoder(x_BND, self.text(states["text"]), memory_key_padding_mask=padding_BT)

    def _box(self, query_BD: Tensor, x_BND: Tensor, rows: int, columns: int) -> Tensor:
        match_BN = (x_BND @ self.look(query_BD)[..., None])[..., 0].float() / math.sqrt(x_BND.shape[-1])
        if not self.training:
            match_BN = match_BN.masked_fill(~near_places(match_BN.argmax(-1), rows, columns), -math.inf)
        weight_BN = match_BN.softmax(-1)
        attended_BD = (weight_BN[..., None].to(x_BND.dtype) * x_BND).sum(1)
        y_H, x_W = (torch.arange(n, device=x_BND.device) + 0.5 for n in (rows, columns))
        centres_N2 = torch.stack([x_W.repeat(rows) / columns, y_H.repeat_interleave(columns) / rows], dim=-1)
        reference_B2 = (weight_BN @ centres_N2).clamp(0.01, 0.99)
        offset_B4 = self.box(torch.cat([query_BD, attended_BD], dim=-1)).float()
        return (offset_B4 + F.pad(reference_B2.logit(), (0, 2))).sigmoid()


def near_places(place_B: Tensor, rows: int, columns: int) -> Tensor:
    """Return whether each place (B, N) is near the place of a given number (B,), in rows and in columns."""
    number_N = torch.arange(rows * columns, device=place_B.device)
    near_BN = torch.ones(len(place_B), rows * columns, dtype=torch.bool, device=place_B.device)
    for count, axis_N, axis_B in (
        (rows, number_N // columns, place_B // columns),
        (columns, number_N % columns, place_B % columns),
    ):
        near_BN &= (axis_N - axis_B[:, None]).abs() <= max(1, round(_NEAR * count))
    return near_BN


def place_codes(rows: int, columns: int, tokens: Tensor) -> Tensor:
    """Return sines and cosines of row and column of each place, (N, D), in a quarter of the features each."""
    quarter = tokens.shape[-1] // 4
    frequencies = math.pi * 2 ** torch.linspace(0, math.log2(max(rows, columns)), quarter, device=tokens.device)
    parts = []
    for count, axis in ((rows, 0), (columns, 1)):
        angles = ((torch.arange(count, device=tokens.device) + 0.5) / count)[:, None] * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        parts.append(waves[:, None].expand(-1, columns, -1) if axis == 0 else waves[None].expand(rows, -1, -1))
    positions = torch.cat(parts, dim=-1).flatten(0, 1)
    return F.pad(positions, (0, tokens.shape[-1] - positions.shape[-1])).to(tokens.dtype)
