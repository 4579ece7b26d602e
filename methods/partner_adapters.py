"""The adapters of LAVISH and DG-SCT, which read all tokens of the partner.

The symbols are those of `lavish.LAVISH` and `dg_sct.DGSCT`. Dimensions in names: B batch, T tokens of the stream, N
tokens of the partner, D width of the stream, C width of the partner, L latent tokens, H hidden features, S samples, F
frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.additions import SUBLAYERS, StreamState, SublayerAdapter
from bench.streams.base import mean_token
from bench.streams.lockstep import MultiStream

CHANNEL, TOKEN, FRAME = 0.3, 0.05, 0.3  # a, b and c of DG-SCT


def attach_partner_adapters(model: MultiStream, make: Callable[[str, int, Mapping[str, int]], SublayerAdapter]) -> None:
    """Add an adapter beside both sublayers of all paired blocks.

    Args:
        model: The model to adapt, in place.
        make: Returns an adapter, given the name of its stream, its width in the block, and the widths of its partners.
    """
    for step in model.schedule:
        widths = {name: model.streams[name].width_at(turn.paired) for name, turn in step.items()}
        for name, turn in step.items():
            partners = {partner: width for partner, width in widths.items() if partner != name}
            parameter = next(model.streams[name].encoder.parameters())
            for sublayer in SUBLAYERS:
                adapter = make(name, widths[name], partners).to(parameter.device, parameter.dtype)
                model.add_adapter(name, turn.paired, sublayer, adapter)


class LavishAdapter(SublayerAdapter):
    """LAVISH's adapter: latent tokens read each partner, the stream's tokens read them, and a bottleneck follows."""

    def __init__(self, stream: str, width: int, partners: Mapping[str, int], *, hidden: int, tokens: int) -> None:
        """Make an adapter.

        Args:
            stream: Name of the stream.
            width: Its width.
            partners: Widths of its partners, by name.
            hidden: Features of the bottleneck.
            tokens: Number of latent tokens for each partner.
        """
        super().__init__()
        self.stream = stream
        self.reads = frozenset((stream, *partners))
        self.fusions = nn.ModuleDict({name: LatentFusion(width, C, tokens) for name, C in partners.items()})
        self.norm_before, self.norm_after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.down, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        self.gate = nn.Parameter(torch.zeros(1))

    def after(self, x_BTD: Tensor, y_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return what is added to the state: the sublayer's output and the adapter's."""
        return y_BTD + self.output(x_BTD, states)

    def output(self, x_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return the adapter's output g LN(W2 ReLU(W1 LN(x'))), (B, T, D)."""
        mixed_BTD = self.mixed(x_BTD, states)
        return self.gate * self.norm_after(self.up(self.down(self.norm_before(mixed_BTD)).relu()))

    def mixed(self, x_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return x', the stream's tokens with what they read of all partners."""
        return x_BTD + sum(fusion(x_BTD, states[name]) for name, fusion in self.fusions.items())


class LatentFusion(nn.Module):
    """What a stream's tokens read of one partner through latent tokens: g_av softmax(x S^T) S."""

    def __init__(self, width: int, partner_width: int, tokens: int) -> None:
        """Make latent tokens, drawn uniformly from [0, 1) as in the authors' code, and a gate of 0."""
        super().__init__()
        self.project = nn.Identity() if width == partner_width else nn.Linear(partner_width, width)
        self.latent = nn.Parameter(torch.rand(tokens, width))
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x_BTD: Tensor, partner: StreamState) -> Tensor:
        """Return the term (B, T, D) to add to the stream's tokens."""
        c_BND = self.project(partner.tokens)
        scores_BLN = self.latent @ c_BND.mT
        if partner.mask is not None:
            scores_BLN = scores_BLN.masked_fill(~partner.mask[:, None], -torch.inf)
        summary_BLD = self.latent + scores_BLN.softmax(-1) @ c_BND  # S
        return self.gate * ((x_BTD @ summary_BLD.mT).softmax(-1) @ summary_BLD)


class DGSCTAdapter(LavishAdapter):
    """DG-SCT's adapter: LAVISH's, with gates before its bottleneck."""

    def __init__(
        self, stream: str, width: int, partners: Mapping[str, int], *, hidden: int, tokens: int, gates: int
    ) -> None:
        """Make an adapter; `gates` are the hidden features of the gates, the rest is as for `LavishAdapter`."""
        super().__init__(stream, width, partners, hidden=hidden, tokens=tokens)
        self.gatings = nn.ModuleDict({name: PartnerGates(width, C, gates) for name, C in partners.items()})

    def mixed(self, x_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return x'', the tokens x' multiplied by the gates of all partners on channels and tokens."""
        mixed_BTD = super().mixed(x_BTD, states)
        gates = [gating(mixed_BTD, states[self.stream], states[name]) for name, gating in self.gatings.items()]
        return math.prod(gates, start=mixed_BTD)

    def output(self, x_BTD: Tensor, states: Mapping[str, StreamState]) -> Tensor:
        """Return the adapter's output (B, T, D), multiplied by the gates of all partners on frames."""
        factors = [gating.frame_factor(states[name]) for name, gating in self.gatings.items()]  # type: ignore[operator]
        return math.prod((factor_B[:, None, None] for factor_B in factors), start=super().output(x_BTD, states))


class PartnerGates(nn.Module):
    """The gates of one partner on channels, tokens and frames."""

    def __init__(self, width: int, partner_width: int, hidden: int) -> None:
        """Make gates.

        Args:
            width: D, the width of the stream.
            partner_width: C, the width of the partner.
            hidden: H, the hidden features of each gate.
        """
        super().__init__()
        self.channel_query, self.channel_guide = nn.Linear(width, hidden), nn.Linear(partner_width, hidden)  # V1, U1
        self.channel_hidden, self.channel_gate = nn.Linear(hidden, hidden), nn.Linear(hidden, width)  # C1, C2
        self.token_query, self.token_guide = nn.Linear(width, hidden), nn.Linear(partner_width, hidden)  # V2, U2
        self.token_gate = nn.Linear(hidden, 1)  # S
        self.frame_input, self.frame_state = nn.Linear(partner_width, hidden), nn.Linear(hidden, hidden, bias=False)
        self.frame_gate = nn.Linear(hidden, 1)  # G

    def forward(self, x_BTD: Tensor, stream: StreamState, partner: StreamState) -> Tensor:
        """Return the factor a m_c + b m_s + 1 - a (B, T, D) on the stream's tokens.

        Args:
            x_BTD: The stream's tokens, added ones included, after its own.
            stream: The stream's state, for its number of own tokens and their mask.
            partner: The partner's state.
        """
        guide_BC = mean_token(partner.tokens, partner.mask)
        query_BTH = F.relu(self.channel_query(x_BTD[:, : stream.tokens.shape[1]]))
        query_BH = mean_token(query_BTH, stream.mask) * F.relu(self.channel_guide(guide_BC))
        channel_BD = self.channel_gate(F.relu(self.channel_hidden(query_BH))).sigmoid()
        query_BTH = F.relu(self.token_query((channel_BD[:, None] + 1) * x_BTD))
        token_BT1 = self.token_gate(query_BTH * F.relu(self.token_guide(guide_BC))[:, None]).sigmoid()
        return CHANNEL * channel_BD[:, None] + TOKEN * token_BT1 + 1 - CHANNEL

    def frame_factor(self, partner: StreamState) -> Tensor:
        """Return m_t (B,), by a recurrent network over the frames of each sample."""
        guide_SFC = mean_token(partner.tokens, partner.mask).unflatten(0, (-1, partner.frames))
        inputs_SFH = self.frame_input(guide_SFC)
        states = [inputs_SFH[:, 0].tanh()]
        for frame in range(1, inputs_SFH.shape[1]):
            states.append((inputs_SFH[:, frame] + self.frame_state(states[-1])).tanh())
        return 1 + FRAME * self.frame_gate(torch.stack(states, dim=1)).sigmoid().flatten()
