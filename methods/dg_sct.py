"""DG-SCT: gates on channels, tokens and frames that the partner controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.lavish import LAVISH

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class DGSCT(LAVISH):
    """LAVISH with gates from the partner: f(x) + g m_t LN(W2 ReLU(W1 LN((a m_c + b m_s + 1 - a) x'))).

    m_c is a gate for each channel, m_s one for each token (patches of a picture, patches of time and frequency of a
    sound, words) and m_t = 1 + c m one for each frame of a video; all depend on the partner's tokens. Duan et al.,
    "Cross-modal Prompts: Adapting Large Pre-trained Models for Audio-Visual Downstream Tasks", NeurIPS 2023, arXiv
    2311.05152. x' is as in LAVISH. With u the mean of the partner's tokens, and the mean over the stream's tokens:

        q   = mean(ReLU(V1 x')) * ReLU(U1 u)        m_c = sigmoid(C2 ReLU(C1 q))
        m_s = sigmoid(S (ReLU(V2 ((m_c + 1) x')) * ReLU(U2 u)))
        m   = sigmoid(G h), with h the states of a recurrent network over the u of the frames of a video

    a = 0.3 and b = 0.05 are those of the authors' code (github.com/haoyi-duan/DG-SCT).

    Choices, besides those of LAVISH: The hidden features of the gates are a setting; the code derives them from the
    width (the width for q, half of it elsewhere). The paper describes the temporal gate as part of each attention. The
    code has it there as a comment only, with c = 0.3, before a norm that would cancel it, and one gate after the
    encoders; here it multiplies the adapter's output. The code's network is a bidirectional LSTM; this one is a plain
    recurrence over the frames in order, so a gate depends on its own frame and earlier ones. The frames of a sample are
    the rows of `StreamState.frames`; with one input per sample the network has one step.

    Attributes:
        bottleneck: Hidden features of the bottleneck.
        tokens: Number of latent tokens of an adapter for each partner: 2 as in LAVISH, so that the two methods differ
            in the gates only; 32 in the code's runs of AVE and AVS S4.
        gates: Hidden features of the gates.
    """

    gates: int = 384

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gates < 1:
            raise ValueError("gates must be at least 1")

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The hidden features of the gates, which most parameters belong to, then those of the bottleneck."""
        return ("gates", "bottleneck")

    def attach(self, model: MultiStream) -> None:
        """Add an adapter beside both sublayers of all paired blocks."""
        from functools import partial

        from bench.methods.base import Method
        from bench.methods.partner_adapters import DGSCTAdapter, attach_partner_adapters

        Method.attach(self, model)
        make = partial(DGSCTAdapter, hidden=self.bottleneck, tokens=self.tokens, gates=self.gates)
        attach_partner_adapters(model, make)
