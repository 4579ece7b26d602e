"""The inter-modal path of CoLA as the equation stands: what `fused_linears` computes in fewer operations.

Dimensions in names: B batch, T tokens, I and O input and output features of a linear, R rank, C width of the partner.
The matrices have the names of the paper: Suharitdamrong et al., ICML 2026, arXiv 2604.03314.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.base import LinearEvaluator
from bench.streams.lockstep import Exchange, Summaries

EPS = 1e-6  # of both norms


class Hypernetwork(nn.Module):
    """Makes a matrix for each sample of the partner's summary: Phi = LN(reshape(W2 LN(GELU(W1 x_c + b1)) + b2)).

    The second norm is over the whole matrix.
    """

    def __init__(self, width: int, r: int, hidden: int) -> None:
        """Make a hypernetwork.

        Args:
            width: of the partner's summary.
            r: rank: the matrices are r x r.
            hidden: the hidden width.
        """
        super().__init__()
        self.r = r
        self.fc1 = nn.Linear(width, hidden)
        self.norm1 = nn.LayerNorm(hidden, eps=EPS)
        self.fc2 = nn.Linear(hidden, r * r)
        self.norm2 = nn.LayerNorm((r, r), eps=EPS)
        for linear in (self.fc1, self.fc2):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, summary_BC: Tensor) -> Tensor:
        """Return Phi (B, R, R) of the partner's summaries."""
        hidden = self.norm1(F.gelu(self.fc1(summary_BC)))
        return self.norm2(self.fc2(hidden).unflatten(-1, (self.r, self.r)))


class InterModal(nn.Module):
    """The inter-modal term of one linear for one partner, in the plain form of the equation: s_c B_c Phi(x_c) A_c x.

    It is 0 at the start, since B_c is.
    """

    def __init__(
        self,
        features: tuple[int, int],
        width: int,
        r: int,
        hidden: int,
        scale: float,
        hyper: Hypernetwork | None = None,
    ) -> None:
        """Make an inter-modal term.

        Args:
            features: input and output features of the linear.
            width: of the partner's summary.
            r: rank.
            hidden: width of the hypernetwork's hidden layer.
            scale: what s_c begins with.
            hyper: the hypernetwork, where it is shared with other terms; None for one of its own.
        """
        super().__init__()
        in_features, out_features = features
        self.A = nn.Parameter(torch.empty(r, in_features))
        self.B = nn.Parameter(torch.zeros(out_features, r))
        self.scale = nn.Parameter(torch.tensor([scale]))
        self.hyper = hyper or Hypernetwork(width, r, hidden)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x_BTI: Tensor, summary_BC: Tensor) -> Tensor:
        """Return the term (B, T, O) for the linear's input and the partner's summary."""
        phi_BRR = self.scale * self.hyper(summary_BC)
        z_BTR = F.linear(x_BTI, self.A) @ phi_BRR.mT
        return F.linear(z_BTR, self.B)


Terms: TypeAlias = Mapping[str, Mapping[str, Mapping[str, InterModal]]]
"""Terms by stream (the target), role and partner (the source)."""


class InterModalExchange(Exchange):
    """The inter-modal terms of one stage of all streams, in whatever form they are kept."""

    @abstractmethod
    def tensors(self) -> Iterator[tuple[tuple[str, str, str, str], Tensor]]:
        """Yield the parameters, sharing memory with the model, each with its target, role, source and own name."""


class PlainExchange(InterModalExchange):
    """Terms each computed by itself and added: what the fused form is compared with."""

    def __init__(self, terms: Terms) -> None:
        """Hold terms."""
        super().__init__()
        self.paths = paths_of(terms)
        self.terms: Terms = nn.ModuleDict(  # type: ignore[assignment]
            {
                name: nn.ModuleDict({role: nn.ModuleDict(own) for role, own in roles.items()})
                for name, roles in terms.items()
            }
        )

    def read(self, summaries: Summaries) -> Mapping[str, LinearEvaluator]:
        """Return how to add the terms to whatever the linears give."""
        return {name: partial(self._evaluate, name, summaries) for name in self.terms}

    def _evaluate(
        self, name: str, summaries: Summaries, modules: Mapping[str, nn.Module], x_BTI: Tensor
    ) -> list[Tensor]:
        outputs = []
        for role, module in modules.items():
            y_BTO = module(x_BTI)
            for partner, term in self.terms[name][role].items():
                y_BTO = y_BTO + term(x_BTI, summaries[partner])
            outputs.append(y_BTO)
        return outputs

    def tensors(self) -> Iterator[tuple[tuple[str, str, str, str], Tensor]]:
        """Yield the parameters of all terms."""
        for name, roles in self.terms.items():
            for role, partners in roles.items():
                for partner, term in partners.items():
                    for key, tensor in term.state_dict().items():
                        yield (name, role, partner, key), tensor


def paths_of(terms: Terms) -> frozenset[tuple[str, str]]:
    """Return the pairs (source, target) of streams that terms join."""
    return frozenset((partner, name) for name, roles in terms.items() for own in roles.values() for partner in own)
