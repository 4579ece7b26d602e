"""The hypernetworks of several linears as stacked products.

Dimensions in names: G linears, B batch, C width of the partners, H hidden features, R rank, and M = R R.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.methods.inter_modal import EPS, InterModal


class Hypernetworks(nn.Module):
    """Hypernetworks like `inter_modal.Hypernetwork`, with stacked parameters, and their s_c.

    For each linear, s_c Phi(x_c) = s_c LN(reshape(W2 LN(GELU(W1 x_c + b1)) + b2)), where s_c is multiplied into the
    weight and bias of the outer norm.
    """

    def __init__(self, terms: Sequence[InterModal]) -> None:
        """Take over the parameters of terms in the plain form.

        Args:
            terms: Terms of equal rank, whose partners have equal width.
        """
        super().__init__()
        self.r = terms[0].hyper.r
        for name in _NAMES:
            stacked_G = torch.stack([term.get_parameter(name).detach() for term in terms])
            if name not in _MATRICES:
                stacked_G = stacked_G.flatten(1).unsqueeze(1)  # one row, broadcast over samples
            self.register_parameter(name.replace(".", "_"), nn.Parameter(stacked_G))

    def forward(self, summary_GBC: Tensor) -> Tensor:
        """Return s_c Phi (G, B, R, R) for the summaries (G, B, C) of each linear's partner."""
        scale, W1, b1, weight1, bias1, W2, b2, weight2, bias2 = (p for p in self._parameters.values() if p is not None)
        # LN(GELU(W1 x_c + b1)): torch has no stacked norm, so its weight and bias are applied separately.
        hidden_GBH = F.gelu(torch.baddbmm(b1, summary_GBC, W1.mT))
        hidden_GBH = F.layer_norm(hidden_GBH, hidden_GBH.shape[-1:], eps=EPS)
        hidden_GBH = torch.addcmul(bias1, hidden_GBH, weight1)
        # s_c LN(W2 hidden + b2)
        phi_GBM = torch.baddbmm(b2, hidden_GBH, W2.mT)
        phi_GBM = F.layer_norm(phi_GBM, phi_GBM.shape[-1:], eps=EPS)
        return torch.addcmul(scale * bias2, phi_GBM, scale * weight2).unflatten(-1, (self.r, self.r))

    def tensors(self, index: int) -> dict[str, Tensor]:
        """Return the parameters of one linear, sharing memory, under the names and in the shapes of the plain form.

        Args:
            index: Number of the linear in the stack.
        """
        parameters = {}
        for name in _NAMES:
            tensor = self.get_parameter(name.replace(".", "_")).detach()[index]
            tensor = tensor if name in _MATRICES else tensor.squeeze(0)
            parameters[name] = tensor.unflatten(0, (self.r, self.r)) if ".norm2." in name else tensor
        return parameters


class SharedHypernetworks(nn.Module):
    """Hypernetworks that several linears, stages or blocks share: evaluated one by one rather than stacked."""

    def __init__(self, terms: Sequence[InterModal]) -> None:
        """Take over the parameters of terms in the plain form."""
        super().__init__()
        distinct = list(dict.fromkeys(term.hyper for term in terms))
        self.hypers = nn.ModuleList(distinct)
        self.hyper_indexes = [distinct.index(term.hyper) for term in terms]
        self.scale = nn.Parameter(torch.stack([term.scale.detach() for term in terms]))

    def forward(self, summary_GBC: Tensor) -> Tensor:
        """Return s_c Phi (G, B, R, R) for the summaries (G, B, C) of each linear's partner."""
        phi_BRR = [hyper(summary_GBC[self.hyper_indexes.index(number)]) for number, hyper in enumerate(self.hypers)]
        return self.scale[..., None, None] * torch.stack([phi_BRR[number] for number in self.hyper_indexes])

    def tensors(self, index: int) -> dict[str, Tensor]:
        """Return the parameters of one linear, sharing memory, under the names and in the shapes of the plain form.

        Args:
            index: Number of the linear.
        """
        hyper = self.hypers[self.hyper_indexes[index]].state_dict()
        return {"scale": self.scale.detach()[index], **{f"hyper.{name}": tensor for name, tensor in hyper.items()}}


_MATRICES = ("hyper.fc1.weight", "hyper.fc2.weight")
_NAMES = (
    "scale",
    "hyper.fc1.weight",
    "hyper.fc1.bias",
    "hyper.norm1.weight",
    "hyper.norm1.bias",
    "hyper.fc2.weight",
    "hyper.fc2.bias",
    "hyper.norm2.weight",
    "hyper.norm2.bias",
)
"""The parameters of a term in the plain form, in its order, without A and B."""
