"""CoLA's linears in the fused form: what `crossmodal` writes out term by term, in few operations, with equal results.

Dimensions in names: B batch, T tokens, I input features of a linear.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from bench.methods import lowrank
from bench.methods.crossmodal import Terms, paths_of
from bench.methods.hypernetworks import Hypernetworks, SharedHypernetworks
from bench.streams.base import Cross
from bench.streams.lockstep import Exchange, Summaries


class FusedExchange(Exchange):
    """The inter-modal paths of one stage of all streams, and with them LoRA where it is the other path.

    The hypernetworks of all linears whose partners are of one width are evaluated together.
    """

    def __init__(self, terms: Terms, shared: bool = False) -> None:
        """Take over the parameters of terms in the plain form, of which some may share their hypernetworks."""
        super().__init__()
        self.paths = paths_of(terms)
        rows = {
            (name, role, partner): term
            for name, roles in terms.items()
            for role, own in roles.items()
            for partner, term in own.items()
        }
        self.order = list(rows)
        self.A = nn.ParameterDict({_key(row): term.A for row, term in rows.items()})
        self.B = nn.ParameterDict({_key(row): term.B for row, term in rows.items()})
        alike: dict[object, list[Row]] = {}
        for row, term in rows.items():
            alike.setdefault(term.hyper.fc1.weight.shape, []).append(row)
        self.rows = list(alike.values())
        kind = SharedHypernetworks if shared else Hypernetworks
        self.hypers = nn.ModuleList(kind([rows[row] for row in group]) for group in self.rows)

    def read(self, summaries: Summaries) -> Mapping[str, Cross]:
        """Compute all Phi of the stage."""
        paths: dict[str, dict[str, list[lowrank.Path]]] = {name: defaultdict(list) for _, name in self.paths}
        for group, hyper in zip(self.rows, self.hypers, strict=True):
            phi_GBRR = hyper(torch.stack([summaries[partner] for _, _, partner in group]))
            for row, phi_BRR in zip(group, phi_GBRR.unbind(), strict=True):
                name, role, _ = row
                paths[name][role].append(lowrank.Path(self.A[_key(row)], self.B[_key(row)], phi_BRR))
        return {name: partial(_evaluate, by_role) for name, by_role in paths.items()}

    def tensors(self) -> Iterator[tuple[tuple[str, str, str, str], Tensor]]:
        """Yield the parameters under the names and in the shapes of the plain form."""
        place = {
            row: (hyper, n) for rows, hyper in zip(self.rows, self.hypers, strict=True) for n, row in enumerate(rows)
        }
        for row in self.order:
            hyper, number = place[row]
            own = {"A": self.A[_key(row)].detach(), "B": self.B[_key(row)].detach(), **hyper.tensors(number)}  # type: ignore[operator]
            for name, tensor in own.items():
                yield (*row, name), tensor


Row: TypeAlias = tuple[str, str, str]
"""Stream, role and partner."""


def _key(row: Row) -> str:
    return ":".join(row)


def _evaluate(
    paths: Mapping[str, list[lowrank.Path]], modules: Mapping[str, nn.Module], x_BTI: Tensor
) -> Sequence[Tensor]:
    return lowrank.apply([linear(module, x_BTI, paths[role]) for role, module in modules.items()], x_BTI)


def linear(module: nn.Module, x_BTI: Tensor, inter: list[lowrank.Path]) -> lowrank.Linear:
    """A linear with its inter-modal paths, and whatever a method has put in the linear's place.

    The weights of frozen linears and of PEFT's plain LoRA go into the fused product. Everything else (DoRA, AdaLoRA,
    LoRA with dropout in training, linears that are trained, ...) computes its output itself.
    """
    layer: Any = module
    base = layer.base_layer if isinstance(module, LoraLinear) else module
    if type(base) is nn.Linear and not base.weight.requires_grad and (base.bias is None or not base.bias.requires_grad):
        if base is module or layer.merged:
            return lowrank.Linear(base.weight, base.bias, None, 1.0, tuple(inter))
        if name := _plain_lora(layer, x_BTI):
            path = lowrank.Path(layer.lora_A[name].weight, layer.lora_B[name].weight)
            return lowrank.Linear(base.weight, base.bias, None, layer.scaling[name], (path, *inter))
    return lowrank.Linear(None, None, module(x_BTI), 1.0, tuple(inter))


def _plain_lora(layer: Any, x_BTI: Tensor) -> str | None:
    """The name of the one active adapter, if it is LoRA as in its paper and drops nothing."""
    names = layer.active_adapters
    if layer.disable_adapters or layer.lora_variant or len(names) != 1:
        return None
    dropout, A, B = layer.lora_dropout[names[0]], layer.lora_A[names[0]], layer.lora_B[names[0]]
    drops = type(dropout) is not nn.Identity and dropout.training
    same_type = x_BTI.dtype == A.weight.dtype or torch.is_autocast_enabled(x_BTI.device.type)
    return None if drops or not same_type or A.bias is not None or B.bias is not None else names[0]
