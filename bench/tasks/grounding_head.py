"""The head of visual grounding. Dimensions in names: B inputs, T text tokens, N places, D features, H and W places."""

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
    from bench.tasks.base import Reads

_FINER = 4  # cells of the mask along each side of a place
_HEADS = 4
_NEAR = 1 / 8  # of the square's side


class GroundingDecoder(Head):
    """A small cross-modal decoder: a query for the box and the vision tokens attend to one another and to the text.

    The box comes from the query by an MLP, which says how it lies to the mean of the places that the query looks at, as
    to a reference point of Conditional DETR (Meng et al., ICCV 2021), which found that boxes are learnt sooner so. In
    scoring only the places around the one that it looks at most count: the mean over two objects that might both be
    meant lies on neither. The mask comes from the vision tokens.
    """

    def __init__(
        self, vision: int, text: int, hidden: int, layers: int, targets: tuple[str, ...], reads: Reads = "words"
    ) -> None:
        """Makes the head.

        Args:
            vision: features of the vision stream.
            text: features of the text stream.
            hidden: features of the decoder.
            layers: of the decoder.
            targets: "box", "mask" or both.
            reads: of the text all tokens, or only its class token (their mean, where it has none), or their mean.
        """
        super().__init__()
        self.targets, self.reads = targets, reads
        self.vision = nn.Linear(vision, hidden)
        self.text = nn.Linear(text, hidden)
        self.query = nn.Parameter(torch.randn(1, 1, hidden) * 0.02)
        layer = nn.TransformerDecoderLayer(
            hidden, _HEADS, 4 * hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, layers, nn.LayerNorm(hidden))
        if "box" in targets:
            self.look = nn.Linear(hidden, hidden)
            self.box = nn.Sequential(
                nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 4)
            )
        if "mask" in targets:
            self.mask = nn.Linear(hidden, _FINER**2)

    def forward(self, states: States, masks: Masks) -> dict[str, Tensor]:
        """`box` (B, 4), centre x, centre y, width, height in shares of the square; `mask` (B, 4 H, 4 W), logits."""
        v_BDHW = places(states["vision"])
        rows, columns = v_BDHW.shape[-2:]
        v_BND = self.vision(v_BDHW.flatten(2).mT)
        v_BND = v_BND + _positions(rows, columns, v_BND)
        x_BND = torch.cat([self.query.expand(len(v_BND), -1, -1), v_BND], dim=1)
        x_BND = self._read(x_BND, states, masks)
        output = {}
        if "box" in self.targets:
            output["box"] = self._box(x_BND[:, 0], x_BND[:, 1:], rows, columns)
        if "mask" in self.targets:
            cells = self.mask(x_BND[:, 1:]).mT.unflatten(2, (rows, columns))
            output["mask"] = F.pixel_shuffle(cells, _FINER)[:, 0]
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
            match_BN = match_BN.masked_fill(~around(match_BN.argmax(-1), rows, columns), -math.inf)
        weight_BN = match_BN.softmax(-1)
        seen_BD = (weight_BN[..., None].to(x_BND.dtype) * x_BND).sum(1)
        down, across = (torch.arange(n, device=x_BND.device) + 0.5 for n in (rows, columns))
        centres_N2 = torch.stack([across.repeat(rows) / columns, down.repeat_interleave(columns) / rows], dim=-1)
        reference_B2 = (weight_BN @ centres_N2).clamp(0.01, 0.99)
        offset_B4 = self.box(torch.cat([query_BD, seen_BD], dim=-1)).float()
        return (offset_B4 + F.pad(reference_B2.logit(), (0, 2))).sigmoid()


def around(place_B: Tensor, rows: int, columns: int) -> Tensor:
    """Whether each place (B, N) is near a place given by its number, in rows and in columns."""
    number_N = torch.arange(rows * columns, device=place_B.device)
    near_BN = torch.ones(len(place_B), rows * columns, dtype=torch.bool, device=place_B.device)
    for count, at_N, at_B in (
        (rows, number_N // columns, place_B // columns),
        (columns, number_N % columns, place_B % columns),
    ):
        near_BN &= (at_N - at_B[:, None]).abs() <= max(1, round(_NEAR * count))
    return near_BN


def _positions(rows: int, columns: int, like: Tensor) -> Tensor:
    """Sines and cosines of row and column of each place: (N, D), a quarter of the features each."""
    quarter = like.shape[-1] // 4
    frequencies = math.pi * 2 ** torch.linspace(0, math.log2(max(rows, columns)), quarter, device=like.device)
    parts = []
    for count, axis in ((rows, 0), (columns, 1)):
        angles = ((torch.arange(count, device=like.device) + 0.5) / count)[:, None] * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        parts.append(waves[:, None].expand(-1, columns, -1) if axis == 0 else waves[None].expand(rows, -1, -1))
    positions = torch.cat(parts, dim=-1).flatten(0, 1)
    return F.pad(positions, (0, like.shape[-1] - positions.shape[-1])).to(like.dtype)
