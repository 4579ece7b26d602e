"""The head of audio-visual question answering.

Dimensions in names: B questions, T seconds, L words, N places, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.streams.base import mean_token
from bench.streams.lockstep import Masks, States
from bench.tasks.grounding_head import place_codes
from bench.tasks.heads import places
from bench.tasks.model import Head


class QuestionHead(Head):
    """The answer to a question about the seconds of a video.

    Much as in the model of Li et al. (CVPR 2022), without its auxiliary loss: in each second, the question and the
    sound attend to the places of the picture, and what they find is mixed with both, and with their products; then the
    question attends to the seconds. The question is a weighted mean of its words, a sound the mean of its tokens.
    """

    pools = True

    def __init__(self, widths: Mapping[str, int], hidden: int, times: int, answers: int) -> None:
        """Make the head.

        Args:
            widths: Features of the streams `vision`, `audio` and `text`.
            hidden: Features of the head.
            times: Number of seconds.
            answers: Number of answers.
        """
        super().__init__()
        self.vision, self.audio, self.text = (
            nn.Sequential(nn.LayerNorm(widths[name]), nn.Linear(widths[name], hidden))
            for name in ("vision", "audio", "text")
        )
        self.words = nn.Parameter(torch.zeros(hidden))
        self.looks, self.listens, self.recalls = (nn.Linear(hidden, hidden) for _ in range(3))
        self.mix = nn.Sequential(
            nn.LayerNorm(8 * hidden), nn.Linear(8 * hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden)
        )
        self.time = nn.Parameter(0.1 * torch.randn(times, hidden))
        self.classify = nn.Sequential(
            nn.LayerNorm(3 * hidden), nn.Linear(3 * hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, answers)
        )

    def forward(self, states: States, masks: Masks) -> Tensor:
        """Return logits (B, answers). The text may be given once for a sample, or once for each second."""
        v_BTND = self._places(states["vision"])
        a_BTD = self.audio(mean_token(states["audio"][..., self.special.get("audio", 0) :, :]))
        q_BD = self._question(states["text"].mean(1), masks["text"][:, 0] if "text" in masks else None)
        q_BTD = q_BD[:, None].expand_as(a_BTD)
        looked_BTD = attend(self.looks(q_BTD)[..., None, :], v_BTND)[..., 0, :]
        listened_BTD = attend(self.listens(a_BTD)[..., None, :], v_BTND)[..., 0, :]
        parts = [looked_BTD, listened_BTD, v_BTND.mean(2), a_BTD, q_BTD]
        parts += [q_BTD * looked_BTD, q_BTD * a_BTD, a_BTD * listened_BTD]
        x_BTD = self.mix(torch.cat(parts, dim=-1)) + self.time
        recalled_BD = attend(self.recalls(q_BD)[:, None], x_BTD)[:, 0]
        return self.classify(torch.cat([recalled_BD, x_BTD.mean(1), q_BD], dim=-1))

    def _places(self, v_BTND: Tensor) -> Tensor:
        """Return the places of all pictures, with their rows and columns."""
        shape = v_BTND.shape[:2]
        v_BDHW = places(v_BTND.flatten(0, 1))
        v_BND = self.vision(v_BDHW.flatten(2).mT)
        rows, columns = v_BDHW.shape[-2:]
        return (v_BND + place_codes(rows, columns, v_BND)).unflatten(0, shape)

    def _question(self, words_BLD: Tensor, mask_BL: Tensor | None) -> Tensor:
        words_BLD = self.text(words_BLD)
        score_BL = (words_BLD @ self.words).float()
        if mask_BL is not None:
            score_BL = score_BL.masked_fill(~mask_BL, -math.inf)
        return (score_BL.softmax(-1)[:, None].to(words_BLD.dtype) @ words_BLD)[:, 0]


def attend(query_QD: Tensor, x_ND: Tensor) -> Tensor:
    """Return what each query (..., Q, D) attends to among vectors (..., N, D): (..., Q, D)."""
    weight_QN = (query_QD @ x_ND.mT / math.sqrt(x_ND.shape[-1])).float().softmax(-1)
    return weight_QN.to(x_ND.dtype) @ x_ND
