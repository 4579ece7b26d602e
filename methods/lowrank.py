"""Linears of a common input with low-rank paths beside them, as one operation with its own gradient.

Forward, for each linear i with an intra-modal path (A_i, B_i) and inter-modal paths p, whose matrix Phi_ip differs
between samples:

    u_i = W_i x + s_i B_i A_i x                                  (1)
    y_i = g_i u_i + b_i + sum over p of B_ip Phi_ip A_ip x       (2)

The gain g_i, one factor for each output feature, is 1 except in DoRA. With d = A x and, for paths with Phi, z = Phi d,
the gradients of a loss, written G[.], are

    G[g_i]    = sum over tokens of G[y_i] u_i                    (3)
    G[d_i]    = s_i B_i^T (g_i G[y_i])                           (4)   path without Phi
    G[B_i]    = s_i g_i G[y_i] d_i^T                             (5)
    G[z_ip]   = B_ip^T G[y_i]                                    (6)   paths with Phi
    G[B_ip]   = G[y_i] z_ip^T                                    (7)
    G[Phi_ip] = sum over tokens of G[z_ip] d_ip^T                (8)
    G[d_ip]   = Phi_ip^T G[z_ip]                                 (9)
    G[A]      = G[d] x^T                                         (10)  all paths
    G[x]      = sum over i of W_i^T (g_i G[y_i]) + sum over all paths of A^T G[d]   (11)

The A of all linears are multiplied in one product. The products with B are added in place to the outputs of the
linears, and (11) is accumulated in place. x is stored once for the backward pass. No tensor with the input or output
features of each token is made only to be scaled and added.

Dimensions in names: N tokens of all samples, B samples, T tokens of a sample, I and O input and output features, R rank
of a path, S ranks of all paths of all linears together. Tokens are rows, so that products appear transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Path(NamedTuple):
    """A low-rank path: A (R, I), B (O, R), and Phi (B, R, R) between them, or None."""

    A: Tensor
    B: Tensor
    phi: Tensor | None = None


class Linear(NamedTuple):
    """One linear and its paths.

    Attributes:
        weight: W (O, I); None if the linear has been evaluated by other means.
        bias: b (O,), or None.
        output: If `weight` is None: W x + b and anything added to it, (B, T, O).
        scale: s, for paths without Phi.
        paths: At least one path; those without Phi come first.
        gain: g (O,), only with `weight`; None for 1.
    """

    weight: Tensor | None
    bias: Tensor | None
    output: Tensor | None
    scale: float
    paths: tuple[Path, ...]
    gain: Tensor | None = None


def apply(linears: Sequence[Linear], x_BTI: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of linears, paths included, for their common input.

    W and b are frozen: no gradient is computed for them. Under autocast, everything is computed in its dtype.

    Args:
        linears: The linears and their paths.
        x_BTI: Their common input (B, T, I).

    Returns:
        One output (B, T, O) for each linear.
    """
    if not torch.is_grad_enabled() and all(_pays_to_fold(linear, x_BTI) for linear in linears):
        return _without_gradients([_folded(linear) for linear in linears], x_BTI)
    return _with_paths(linears, x_BTI)


def _with_paths(linears: Sequence[Linear], x_BTI: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs with the paths evaluated beside the linears."""
    scales = tuple(linear.scale for linear in linears)
    counts = tuple(len(linear.paths) for linear in linears)
    tensors: list[Tensor | None] = []
    for linear in linears:
        tensors += (linear.weight, linear.bias, linear.output, linear.gain)
        for path in linear.paths:
            tensors += path
    return _LowRank.apply(scales, counts, x_BTI, *tensors)


def _pays_to_fold(linear: Linear, x_BTI: Tensor) -> bool:
    """Return whether paths without Phi cost less within W, R I O once, than beside it, R (I + O) for each token.

    In 16 bits their small terms would be lost in the sum with W.
    """
    if linear.weight is None:
        return True  # it has no such paths
    exact = x_BTI.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x_BTI.device.type)
    out_features, in_features = linear.weight.shape
    return exact and x_BTI.shape[:2].numel() * (in_features + out_features) > in_features * out_features


def _folded(linear: Linear) -> Linear:
    """Return a linear whose paths without Phi are a part of its weight: g (W + s B A)."""
    weight = linear.weight
    if weight is None:
        return linear
    for path in linear.paths:
        if path.phi is None:
            weight = torch.addmm(weight, path.B, path.A, alpha=linear.scale)
    with_phi = tuple(path for path in linear.paths if path.phi is not None)
    return Linear(_gained(weight, linear.gain), linear.bias, None, 1.0, with_phi)


def _without_gradients(linears: Sequence[Linear], x_BTI: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of folded linears, without keeping anything for the backward pass."""
    x_NI = x_BTI.flatten(0, 1)
    paths = [path for linear in linears for path in linear.paths]
    d_NS = x_NI @ torch.cat([path.A for path in paths]).mT if paths else None
    start = 0
    outputs = []
    for linear in linears:
        if linear.weight is not None:
            y_NO = F.linear(x_NI, linear.weight, linear.bias)
        else:
            assert linear.output is not None
            y_NO = linear.output.flatten(0, 1).clone()
        for path in linear.paths:
            assert d_NS is not None and path.phi is not None
            d_BTR = d_NS[:, start : start + path.A.shape[0]].unflatten(0, x_BTI.shape[:2])
            y_NO.addmm_((d_BTR @ path.phi.mT).flatten(0, 1), path.B.mT)
            start += path.A.shape[0]
        outputs.append(y_NO.unflatten(0, x_BTI.shape[:2]))
    return tuple(outputs)


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scales: tuple[float, ...], counts: tuple[int, ...], x_BTI: Tensor, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        kind = x_BTI.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            x_BTI = x_BTI.to(dtype)
            gains = {
                id(linear.gain) for linear in _linears(scales, counts, tensors)
            }  # kept in float32: they are near 1, where bfloat16 is coarse
            tensors = tuple(t if t is None or id(t) in gains else t.to(dtype) for t in tensors)
        samples = x_BTI.shape[0]
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        linears = list(_linears(scales, counts, tensors))
        down_SI = torch.cat([path.A for linear in linears for path in linear.paths])
        # d = A x of all paths, those of a linear side by side; z replaces d where there is Phi.
        z_NS = x_NI @ down_SI.mT
        # Of each linear: W, g, u, and the matrices [s B, ..., B, ...] of its paths. Of each path with Phi: Phi and d.
        saved: list[Tensor | None] = []
        outputs = []
        start = 0
        for linear in linears:
            mixed: list[Tensor] = []
            plain, end = start, start  # columns of z: of the linear's paths without Phi, then of those with it
            for path in linear.paths:
                first, end = end, end + path.A.shape[0]
                if path.phi is None:
                    plain = end
                else:
                    slot_BTR = z_NS[:, first:end].unflatten(0, (samples, -1))
                    d_BTR = slot_BTR.clone(memory_format=torch.contiguous_format)
                    slot_BTR.copy_(d_BTR @ path.phi.mT)  # (2): z = Phi d
                    mixed += [path.phi, d_BTR]
            up_OR = _up(linear)
            u_NO = None
            if linear.weight is None:
                assert linear.output is not None  # of another operation: it must not be overwritten
                y_NO = linear.output.reshape(-1, linear.output.shape[-1]).addmm(z_NS[:, start:end], up_OR.mT)
            elif linear.gain is None:
                y_NO = F.linear(x_NI, linear.weight, linear.bias).addmm_(z_NS[:, start:end], up_OR.mT)
            else:
                u_NO = F.linear(x_NI, linear.weight).addmm_(z_NS[:, start:plain], up_OR[:, : plain - start].mT)  # (1)
                gained = u_NO * linear.gain
                y_NO = (gained if linear.bias is None else gained.add_(linear.bias)).to(u_NO.dtype)
                if plain < end:
                    y_NO.addmm_(z_NS[:, plain:end], up_OR[:, plain - start :].mT)
            saved += [linear.weight, linear.gain, u_NO, up_OR, *mixed]
            outputs.append(y_NO.view(samples, -1, y_NO.shape[1]))
            start = end
        ctx.scales, ctx.samples = scales, samples
        ctx.paths = [[(path.A.shape[0], path.phi is not None) for path in linear.paths] for linear in linears]
        ctx.save_for_backward(x_NI, down_SI, z_NS, *saved)
        return tuple(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        # gd, gx, gy, gz, gg, gA: the gradients of d, x, y, z, g and A. Gradients of B are computed transposed, since a
        # product with few rows is faster than one with few columns.
        x_NI, down_SI, z_NS, *tensors = ctx.saved_tensors
        saved = iter(tensors)
        needs_gx = ctx.needs_input_grad[2]
        gd_NS = torch.empty_like(z_NS)
        gx_NI: Tensor | None = None
        gradients: list[Any] = []
        A_indexes = []  # of the gradient of each A in `gradients`
        start = 0
        for scale, paths, gy_BTO in zip(ctx.scales, ctx.paths, grads, strict=True):
            gy_NO = gy_BTO.reshape(-1, gy_BTO.shape[-1])
            weight, gain_O, u_NO, up_OR = next(saved), next(saved), next(saved), next(saved)
            if weight is not None and needs_gx:
                gW_OI = _gained(weight, gain_O)  # (11), first sum: g W
                gx_NI = gy_NO @ gW_OI if gx_NI is None else gx_NI.addmm_(gy_NO, gW_OI)
            gg_O = None if u_NO is None else (gy_NO * u_NO).sum(0, dtype=gain_O.dtype)  # (3)
            gradients += [None, None, None if weight is not None else gy_BTO, gg_O]
            plain = sum(rank for rank, has_phi in paths if not has_phi)
            if gain_O is not None:
                up_OR = torch.cat([_gained(up_OR[:, :plain], gain_O), up_OR[:, plain:]], dim=1)
            end = start + up_OR.shape[1]
            torch.mm(gy_NO, up_OR, out=gd_NS[:, start:end])  # (4), (6)
            gB_RO = z_NS[:, start:end].mT @ gy_NO  # (5), (7)
            gB_RO[:plain] *= scale
            for (rank, has_phi), gB in zip(paths, gB_RO.split([rank for rank, _ in paths]), strict=True):
                A_indexes.append(len(gradients))
                if has_phi:
                    phi_BRR, d_BTR = next(saved), next(saved)
                    slot_BTR = gd_NS[:, start : start + rank].unflatten(0, (ctx.samples, -1))  # G[z] so far
                    gradients += [None, gB.mT, slot_BTR.mT @ d_BTR]  # (8)
                    slot_BTR.copy_(slot_BTR @ phi_BRR)  # (9)
                else:
                    gradients += [None, _gained(gB.mT, gain_O), None]
                start += rank
        ranks = [rank for paths in ctx.paths for rank, _ in paths]
        for index, gA_RI in zip(A_indexes, (gd_NS.mT @ x_NI).split(ranks), strict=True):  # (10)
            gradients[index] = gA_RI
        gx_BTI = None
        if needs_gx:  # (11), second sum
            gx_NI = gd_NS @ down_SI if gx_NI is None else gx_NI.addmm_(gd_NS, down_SI)
            gx_BTI = gx_NI.view(ctx.samples, -1, gx_NI.shape[1])
        return None, None, gx_BTI, *gradients


def _up(linear: Linear) -> Tensor:
    """Return the matrices s B of the paths without Phi and B of the others, side by side."""
    matrices = [path.B * linear.scale if path.phi is None else path.B for path in linear.paths]
    return matrices[0] if len(matrices) == 1 else torch.cat(matrices, dim=1)


def _gained(rows_O: Tensor, gain_O: Tensor | None) -> Tensor:
    """Return a matrix with one row for each output feature, multiplied by the gain of that feature."""
    return rows_O if gain_O is None else (gain_O[:, None] * rows_O).to(rows_O.dtype)


def _linears(scales: Sequence[float], counts: Sequence[int], tensors: Sequence[Tensor | None]) -> Iterator[Linear]:
    """Yield the linears that `apply` has flattened into the arguments of the autograd function."""
    start = 0
    for scale, count in zip(scales, counts, strict=True):
        weight, bias, output, gain = tensors[start : start + 4]
        paths = tuple(Path(*tensors[p : p + 3]) for p in range(start + 4, start + 4 + 3 * count, 3))  # type: ignore[arg-type]
        yield Linear(weight, bias, output, scale, paths, gain)
        start += 4 + 3 * count
