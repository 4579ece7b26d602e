"""Linears of one input with low-rank paths beside them, as one operation with a gradient of its own.

For each linear i, whose inter-modal paths p have a matrix Phi_ip of each sample's own,

    y_i = g_i (W_i x + s_i B_i A_i x) + b_i + sum over p of B_ip Phi_ip A_ip x

where g_i, a factor for each output feature, is 1 but for DoRA.

The products down of all linears are one, those up are added in place to the linears' own outputs, the gradient of x is
summed up in place in the products that give it, and x is kept once for the backward pass. So no term
with a linear's output or input features for each token is made only to be scaled and added.

Dimensions in names: N tokens of all samples, B samples, T tokens of a sample, I and O input and output features, R rank
of a path, S of all paths of all linears together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Path(NamedTuple):
    """A low-rank path: A (R, I), B (O, R), and Phi (B, R, R) between them, None where there is nothing."""

    A: Tensor
    B: Tensor
    phi: Tensor | None = None


class Linear(NamedTuple):
    """One linear and its paths.

    Attributes:
        weight: W (O, I); None where the linear has been evaluated by other means.
        bias: b (O,), or None.
        output: W x + b and whatever else belongs to it, (B, T, O), where `weight` is None.
        scale: s, of the paths without Phi.
        paths: at least one, those without Phi first.
        gain: g (O,), where there is `weight`; None for 1.
    """

    weight: Tensor | None
    bias: Tensor | None
    output: Tensor | None
    scale: float
    paths: tuple[Path, ...]
    gain: Tensor | None = None


def apply(linears: Sequence[Linear], x_BTI: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs (B, T, O) of linears, paths included, for their common input (B, T, I).

    No gradient of W and b is computed: they are frozen. Under autocast all is computed in its type.
    """
    scales = tuple(linear.scale for linear in linears)
    counts = tuple(len(linear.paths) for linear in linears)
    tensors: list[Tensor | None] = []
    for linear in linears:
        tensors += (linear.weight, linear.bias, linear.output, linear.gain)
        for path in linear.paths:
            tensors += path
    return _LowRank.apply(scales, counts, x_BTI, *tensors)


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scales: tuple[float, ...], counts: tuple[int, ...], x_BTI: Tensor, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        kind = x_BTI.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            x_BTI = x_BTI.to(dtype)
            gains = {id(linear.gain) for linear in _linears(scales, counts, tensors)}  # near 1: as exact as they are
            tensors = tuple(t if t is None or id(t) in gains else t.to(dtype) for t in tensors)
        samples = x_BTI.shape[0]
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        linears = list(_linears(scales, counts, tensors))
        down_SI = torch.cat([path.A for linear in linears for path in linear.paths])
        ranks = [path.A.shape[0] for linear in linears for path in linear.paths]
        d_NS = x_NI @ down_SI.mT
        parts = iter(d_NS.split(ranks, dim=1))
        # Of each linear W, g and what that multiplies; of each path B, and with Phi that and z = Phi A x.
        kept: list[Tensor | None] = []
        outputs = []
        for linear in linears:
            gain_O = linear.gain
            if linear.weight is not None:
                y_NO = F.linear(x_NI, linear.weight, linear.bias if gain_O is None else None)
            else:
                assert linear.output is not None
                y_NO = linear.output.reshape(-1, linear.output.shape[-1])
            mine = linear.weight is not None  # what another operation has computed must not be written over
            kept += [linear.weight, gain_O, None]
            place = len(kept) - 1
            plain = sum(path.phi is None for path in linear.paths)
            for number, ((_, B_OR, phi_BRR), d_NR) in enumerate(zip(linear.paths, parts, strict=False), start=1):
                scale, z_NR = linear.scale, d_NR
                if phi_BRR is not None:
                    scale, z_NR = 1.0, (d_NR.view(samples, -1, d_NR.shape[1]) @ phi_BRR.mT).flatten(0, 1)
                    kept += [phi_BRR, z_NR]
                kept.append(B_OR)
                y_NO = (y_NO.addmm_ if mine else y_NO.addmm)(z_NR, B_OR.mT, alpha=scale)
                mine = True
                if gain_O is not None and number == plain:
                    kept[place] = y_NO
                    gained = y_NO * gain_O if linear.bias is None else torch.addcmul(linear.bias, y_NO, gain_O)
                    y_NO = gained.to(y_NO.dtype)
            outputs.append(y_NO.view(samples, -1, y_NO.shape[1]))
        ctx.forms = [(linear.scale, [path.phi is not None for path in linear.paths]) for linear in linears]
        ctx.ranks, ctx.samples = ranks, samples
        ctx.save_for_backward(x_NI, down_SI, d_NS, *kept)
        return tuple(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        # The gradient of B is computed transposed: with few rows rather than few columns that is quicker.
        x_NI, down_SI, d_NS, *rest = ctx.saved_tensors
        kept = iter(rest)
        wants_x = ctx.needs_input_grad[2]
        gd_NS = torch.empty_like(d_NS)
        parts = zip(d_NS.split(ctx.ranks, dim=1), gd_NS.split(ctx.ranks, dim=1), strict=True)
        gx_NI: Tensor | None = None
        found: list[Any] = []
        places = []  # where in `found` the gradient of each A belongs
        for (scale, mixed), gy_BTO in zip(ctx.forms, grads, strict=True):
            gy_NO = gy_BTO.reshape(-1, gy_BTO.shape[-1])
            weight, gain_O, u_NO = next(kept), next(kept), next(kept)
            if weight is not None and wants_x:
                of_x = _gained(weight, gain_O)
                gx_NI = gy_NO @ of_x if gx_NI is None else gx_NI.addmm_(gy_NO, of_x)
            gg_O = None if u_NO is None else (gy_NO * u_NO).sum(0, dtype=gain_O.dtype)
            found += [None, None, None if weight is not None else gy_BTO, gg_O]
            for has_phi, (d_NR, gd_NR) in zip(mixed, parts, strict=False):
                places.append(len(found))
                if has_phi:
                    phi_BRR, z_NR, B_OR = next(kept), next(kept), next(kept)
                    gz_BTR = (gy_NO @ B_OR).view(ctx.samples, -1, B_OR.shape[1])
                    gd_NR.view(gz_BTR.shape).copy_(gz_BTR @ phi_BRR)
                    found += [None, (z_NR.mT @ gy_NO).mT, gz_BTR.mT @ d_NR.view(gz_BTR.shape)]
                else:
                    B_OR = next(kept)
                    torch.addmm(gd_NR, gy_NO, _gained(B_OR, gain_O), beta=0, alpha=scale, out=gd_NR)
                    found += [None, _gained((d_NR.mT @ gy_NO).mul_(scale).mT, gain_O), None]
        for place, gA_RI in zip(places, (gd_NS.mT @ x_NI).split(ctx.ranks), strict=True):
            found[place] = gA_RI
        gx_BTI = None
        if wants_x:
            gx_NI = gd_NS @ down_SI if gx_NI is None else gx_NI.addmm_(gd_NS, down_SI)
            gx_BTI = gx_NI.view(ctx.samples, -1, gx_NI.shape[1])
        return None, None, gx_BTI, *found


def _gained(of_outputs: Tensor, gain_O: Tensor | None) -> Tensor:
    """A matrix with a row for each output feature, times the gain of that."""
    return of_outputs if gain_O is None else (gain_O[:, None] * of_outputs).to(of_outputs.dtype)


def _linears(scales: Sequence[float], counts: Sequence[int], tensors: Sequence[Tensor | None]) -> Iterator[Linear]:
    """Undo what `apply` does to pass linears through autograd."""
    at = 0
    for scale, count in zip(scales, counts, strict=True):
        weight, bias, output, gain = tensors[at : at + 4]
        paths = tuple(Path(*tensors[p : p + 3]) for p in range(at + 4, at + 4 + 3 * count, 3))  # type: ignore[arg-type]
        yield Linear(weight, bias, output, scale, paths, gain)
        at += 4 + 3 * count
