"""The inter-modal path of CoLA, written like its equation; `fused_linears` computes the same in fewer operations.

Dimensions in names: B batch, T tokens, I and O input and output features of a linear, R rank, C width of the partner.
The matrices have the names of the paper: Suharitdamrong et al., ICML 2026, arXiv 2604.03314.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.streams.additions import Exchange, StreamState
from bench.streams.base import LinearEvaluator, SummaryKind

EPS = 1e-6  # of both norms


class Hypernetwork(nn.Module):
    """A matrix for each sample from its partner's summary: Phi(x_c) = LN(reshape(W2 LN(GELU(W1 x_c + b1)) + b2)).

    The outer norm is over the whole matrix.
    """

    def __init__(self, width: int, r: int, hidden: int) -> None:
        """Make a hypernetwork.

        Args:
            width: Features of the partner's summary.
            r: Rank: the matrices are r x r.
            hidden: Hidden width.
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
        """Return Phi(x_c) (B, R, R).

        Args:
            summary_BC: The partner's summaries x_c (B, C).
        """
        hidden = self.norm1(F.gelu(self.fc1(summary_BC)))
        return self.norm2(self.fc2(hidden).unflatten(-1, (self.r, self.r)))


class InterModal(nn.Module):
    """The inter-modal term of one linear for one partner, in the plain form: s_c B_c Phi(x_c) A_c x.

    It is 0 initially, since B_c is.

    Attributes:
        A: A_c (R, I).
        B: B_c (O, R).
        scale: s_c (1,).
        hyper: Phi.
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
            features: Input and output features of the linear.
            width: Features of the partner's summary.
            r: Rank.
            hidden: Hidden width of the hypernetwork.
            scale: Initial s_c.
            hyper: The hypernetwork, if shared with other terms; None for its own.
        """
        super().__init__()
        in_features, out_features = features
        self.A = nn.Parameter(torch.empty(r, in_features))
        self.B = nn.Parameter(torch.zeros(out_features, r))
        self.scale = nn.Parameter(torch.tensor([scale]))
        self.hyper = hyper or Hypernetwork(width, r, hidden)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x_BTI: Tensor, summary_BC: Tensor) -> Tensor:
        """Return s_c B_c Phi(x_c) A_c x, (B, T, O).

        `fused_linears.FusedExchange` computes the same up to rounding, faster (tests/methods/test_inter_modal.py).

        Args:
            x_BTI: The linear's input x (B, T, I).
            summary_BC: The partner's summary x_c (B, C).
        """
        phi_BRR = self.hyper(summary_BC)
        z_BTR = F.linear(x_BTI, self.A) @ phi_BRR.mT  # Phi(x_c) A_c x
        return self.scale * F.linear(z_BTR, self.B)  # s_c B_c Phi(x_c) A_c x


Terms: TypeAlias = Mapping[str, Mapping[str, Mapping[str, InterModal]]]
"""Terms by target stream, role and source: a stream, or several that one hypernetwork reads (see `joined`)."""

_JOINT = "+"


def joined(sources: Iterable[str]) -> str:
    """Return the name of several streams as one source: "audio+text"."""
    return _JOINT.join(sources)


def summary_of(source: str, summaries: Mapping[str, Tensor]) -> Tensor:
    """Return the summary (B, C) of a source, which for several streams is theirs side by side."""
    return torch.cat([summaries[name] for name in source.split(_JOINT)], dim=-1)


class InterModalExchange(Exchange):
    """The inter-modal terms of one stage of all streams, in the plain or the fused form.

    Attributes:
        summary: The kind of summaries that the terms read; None for the model's.
    """

    summary: SummaryKind | None = None

    def read(self, states: Mapping[str, StreamState]) -> Mapping[str, LinearEvaluator]:
        """Return the evaluators of all targets, which have as many rows as the states."""
        summaries = self._summaries(states)
        return self.evaluators({target: summaries for _, target in self.paths})

    def readings(
        self, states: Mapping[str, StreamState], rows: Mapping[str, int]
    ) -> Iterator[tuple[Collection[str], Mapping[str, LinearEvaluator]]]:
        """Yield the evaluators of all targets at once, whatever rows they have."""
        summaries = {
            count: self._summaries({name: state.aligned(count) for name, state in states.items()})
            for count in dict.fromkeys(rows.values())
        }
        yield rows, self.evaluators({target: summaries[count] for target, count in rows.items()})

    def _summaries(self, states: Mapping[str, StreamState]) -> dict[str, Tensor]:
        return {name: state.summary(self.summary) for name, state in states.items()}

    @abstractmethod
    def evaluators(self, summaries: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, LinearEvaluator]:
        """Return an evaluator of linears for each target.

        Args:
            summaries: The summaries (B, C) of all sources, by target: B differs between targets.
        """

    @abstractmethod
    def tensors(self) -> Iterator[tuple[tuple[str, str, str, str], Tensor]]:
        """Yield the parameters, sharing memory with the model, with their target, role, source and name."""


class PlainExchange(InterModalExchange):
    """Terms that are computed one by one and added: the reference for the fused form."""

    def __init__(self, terms: Terms) -> None:
        """Take terms."""
        super().__init__()
        self.paths = paths_of(terms)
        self.terms: Terms = nn.ModuleDict(  # type: ignore[assignment]
            {
                name: nn.ModuleDict({role: nn.ModuleDict(partners) for role, partners in roles.items()})
                for name, roles in terms.items()
            }
        )

    def evaluators(self, summaries: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, LinearEvaluator]:
        """Return evaluators that add the terms to the outputs of the linears."""
        return {name: partial(self._evaluate, name, summaries[name]) for name in self.terms}

    def _evaluate(
        self, name: str, summaries: Mapping[str, Tensor], modules: Mapping[str, nn.Module], x_BTI: Tensor
    ) -> list[Tensor]:
        outputs = []
        for role, module in modules.items():
            y_BTO = module(x_BTI)
            for partner, term in self.terms[name][role].items():
                y_BTO = y_BTO + term(x_BTI, summary_of(partner, summaries))
            outputs.append(y_BTO)
        return outputs

    def tensors(self) -> Iterator[tuple[tuple[str, str, str, str], Tensor]]:
        """Yield the parameters of all terms, with their target, role, source and name."""
        for name, roles in self.terms.items():
            for role, partners in roles.items():
                for partner, term in partners.items():
                    for key, tensor in term.state_dict().items():
                        yield (name, role, partner, key), tensor


def paths_of(terms: Terms) -> frozenset[tuple[str, str]]:
    """Return the pairs (source, target) of streams that terms connect."""
    return frozenset(
        (stream, name)
        for name, roles in terms.items()
        for partners in roles.values()
        for partner in partners
        for stream in partner.split(_JOINT)
    )
