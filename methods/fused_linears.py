"""Linears with low-rank paths in the fused form: what `inter_modal` and PEFT compute term by term, in few operations.

The results are equal up to rounding. LoRA, DoRA and AdaLoRA use the fused form by themselves too, as they do within
CoLA: otherwise a comparison of their speeds would compare implementations rather than methods.

Dimensions in names: B batch, T tokens, R rank, I and O input and output features of a linear, G linears of a group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from peft.tuners.adalora import SVDLinear
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora.variants import DoraLinearVariant
from torch import Tensor, nn

from bench.methods import lowrank
from bench.methods.hypernetworks import Hypernetworks, SharedHypernetworks
from bench.methods.inter_modal import InterModalExchange, Terms, paths_of, summary_of
from bench.streams.base import LinearEvaluator

_RANKNUM_EPS = 1e-5  # PEFT's


class FusedExchange(InterModalExchange):
    """The inter-modal paths of one stage of all streams, in the fused form.

    `linear` adds the intra-modal path to the same operation if it can. The hypernetworks of all linears whose partners
    have equal width, and that have equal ranks, are evaluated together.
    """

    def __init__(self, terms: Terms, shared: bool = False) -> None:
        """Take over the parameters of terms in the plain form.

        Args:
            terms: The terms; some may share their hypernetworks.
            shared: Whether any do.
        """
        super().__init__()
        self.paths = paths_of(terms)
        rows = {
            (name, role, partner): term
            for name, roles in terms.items()
            for role, partners in roles.items()
            for partner, term in partners.items()
        }
        self.order = list(rows)
        self.A = nn.ParameterDict({_key(row): term.A for row, term in rows.items()})
        self.B = nn.ParameterDict({_key(row): term.B for row, term in rows.items()})
        groups: dict[object, list[Row]] = {}
        for row, term in rows.items():
            groups.setdefault((term.hyper.fc1.weight.shape, term.hyper.r), []).append(row)
        self.rows = list(groups.values())
        kind = SharedHypernetworks if shared else Hypernetworks
        self.hypers = nn.ModuleList(kind([rows[row] for row in group]) for group in self.rows)

    def evaluators(self, summaries: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, LinearEvaluator]:
        """Compute all Phi of the stage, and return the evaluators that use them."""
        paths: dict[str, dict[str, list[lowrank.Path]]] = {name: defaultdict(list) for _, name in self.paths}
        for group, hyper in zip(self.rows, self.hypers, strict=True):
            read = [summary_of(partner, summaries[name]) for name, _, partner in group]
            # Targets may have several numbers of rows: one product with repeated rows is faster than one for each.
            most = max(map(len, read))
            phi_GBRR = hyper(torch.stack([_repeated(summary_BC, most) for summary_BC in read]))
            for row, summary_BC, phi_BRR in zip(group, read, phi_GBRR.unbind(), strict=True):
                name, role, _ = row
                own_BRR = phi_BRR if len(summary_BC) == most else phi_BRR[:: most // len(summary_BC)]
                paths[name][role].append(lowrank.Path(self.A[_key(row)], self.B[_key(row)], own_BRR))
        return {name: partial(_evaluate, by_role) for name, by_role in paths.items()}

    def tensors(self) -> Iterator[tuple[tuple[str, str, str, str], Tensor]]:
        """Yield the parameters under the names and in the shapes of the plain form."""
        indexes = {
            row: (hyper, index)
            for group, hyper in zip(self.rows, self.hypers, strict=True)
            for index, row in enumerate(group)
        }
        for row in self.order:
            hyper, index = indexes[row]
            parameters = {"A": self.A[_key(row)].detach(), "B": self.B[_key(row)].detach(), **hyper.tensors(index)}  # type: ignore[operator]
            for name, tensor in parameters.items():
                yield (*row, name), tensor


Row: TypeAlias = tuple[str, str, str]
"""Stream, role and partner."""


def _key(row: Row) -> str:
    return ":".join(row)


def _repeated(summary_BC: Tensor, rows: int) -> Tensor:
    """Return summaries with each repeated, so that there are as many rows as this."""
    return summary_BC if len(summary_BC) == rows else summary_BC.repeat_interleave(rows // len(summary_BC), 0)


def _evaluate(
    paths: Mapping[str, list[lowrank.Path]], modules: Mapping[str, nn.Module], x_BTI: Tensor
) -> Sequence[Tensor]:
    forms = [linear(module, x_BTI, paths.get(role, [])) for role, module in modules.items()]
    with_paths = [form for form in forms if form.paths]
    computed = iter(lowrank.apply(with_paths, x_BTI) if with_paths else ())
    return [next(computed) if form.paths else form.output for form in forms]  # type: ignore[misc]


fused_evaluator: LinearEvaluator = partial(_evaluate, {})
"""Evaluates linears that read no other stream, in the fused form."""


def linear(module: nn.Module, x_BTI: Tensor, inter: list[lowrank.Path]) -> lowrank.Linear:
    """Return a linear with its inter-modal paths and whatever layer a method has put in its place.

    The weights of frozen linears, and of plain LoRA, DoRA and AdaLoRA layers of PEFT, go into the fused product.
    Anything else (dropout in training, trained linears, other layers) computes its output itself.

    Args:
        module: A linear of the encoder, or the layer in its place.
        x_BTI: Its input (B, T, I).
        inter: Its inter-modal paths.
    """
    layer: Any = module
    base = layer.base_layer if isinstance(module, LoraLinear | SVDLinear) else module
    if type(base) is nn.Linear and not base.weight.requires_grad and (base.bias is None or not base.bias.requires_grad):
        merged = base is module or layer.merged
        if merged and inter:
            return lowrank.Linear(base.weight, base.bias, None, 1.0, tuple(inter))
        if not merged and (name := _plain(layer, x_BTI)):
            path, s, gain_O = _intra(layer, name)
            return lowrank.Linear(base.weight, base.bias, None, s, (path, *inter), gain_O)
    return lowrank.Linear(None, None, module(x_BTI), 1.0, tuple(inter))


def _intra(layer: Any, name: str) -> tuple[lowrank.Path, float, Tensor | None]:
    """Return the intra-modal path of a PEFT layer, its scale s, and the gain g of the outputs.

    The symbols are those of equation (1) of `lowrank`:

        LoRA      s B A x
        AdaLoRA   B (E * A) s / R x, with E the singular values and R the initial rank (PEFT's `ranknum`)
        DoRA      g = m / |W + s B A|, with row norms whose gradient is not followed, as in the paper

    Args:
        layer: The PEFT layer.
        name: Name of its active adapter.
    """
    A, B, scale = layer.lora_A[name], layer.lora_B[name], layer.scaling[name]
    if isinstance(layer, SVDLinear):  # the scale s is part of A
        return lowrank.Path(A * (layer.lora_E[name] * (scale / (layer.ranknum[name] + _RANKNUM_EPS))), B), 1.0, None
    path = lowrank.Path(A.weight, B.weight)
    if not layer.lora_variant:
        return path, scale, None
    with torch.no_grad():  # DoRA
        norm_O = torch.linalg.norm(layer.base_layer.weight + scale * (path.B @ path.A), dim=1)
    return path, scale, layer.lora_magnitude_vector[name].weight / norm_O


def _plain(layer: Any, x_BTI: Tensor) -> str | None:
    """Return the name of the only active adapter if it is plain LoRA, DoRA or AdaLoRA without dropout, else None."""
    names = layer.active_adapters
    if layer.disable_adapters or len(names) != 1:
        return None
    if layer.lora_variant and type(layer.lora_variant.get(names[0])) is not DoraLinearVariant:
        return None
    dropout, A, B = layer.lora_dropout[names[0]], layer.lora_A[names[0]], layer.lora_B[names[0]]
    drops = type(dropout) is not nn.Identity and dropout.training
    if isinstance(layer, SVDLinear):
        dtype, has_bias = A.dtype, False
    else:
        dtype, has_bias = A.weight.dtype, A.bias is not None or B.bias is not None
    same_type = x_BTI.dtype == dtype or torch.is_autocast_enabled(x_BTI.device.type)
    return None if drops or has_bias or not same_type else names[0]
