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
            gains = {
                id(linear.gain) for linear in _linears(scales, counts, tensors)
            }  # kept in float32: they are near 1, where bfloat16 is coarse
            tensors = tuple(t if t is None or id(t) in gains else t.to(dtype) for t in tensors)
        samples = x_BTI.shape[0]
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        linears = list(_linears(scales, counts, tensors))
        down_SI = torch.cat([path.A for linear in linears for path in linear.paths])
        ranks = [path.A.shape[0] for linear in linears for path in linear.paths]
        d_NS = x_NI @ down_SI.mT  # d = A x of all paths
        parts = iter(d_NS.split(ranks, dim=1))
        # Of each linear: W, g and u. Of each path: B, preceded by Phi and z for paths with Phi.
        saved: list[Tensor | None] = []
        outputs = []
        for linear in linears:
            gain_O = linear.gain
            if linear.weight is not None:
                y_NO = F.linear(x_NI, linear.weight, linear.bias if gain_O is None else None)
            else:
                assert linear.output is not None
                y_NO = linear.output.reshape(-1, linear.output.shape[-1])
            in_place = linear.weight is not None  # an output of another operation must not be overwritten
            saved += [linear.weight, gain_O, None]
            u_index = len(saved) - 1
            without_phi = sum(path.phi is None for path in linear.paths)
            for number, ((_, B_OR, phi_BRR), d_NR) in enumerate(zip(linear.paths, parts, strict=False), start=1):
                scale, z_NR = linear.scale, d_NR  # (1): z stands for d
                if phi_BRR is not None:  # (2): z = Phi d
                    scale, z_NR = 1.0, (d_NR.view(samples, -1, d_NR.shape[1]) @ phi_BRR.mT).flatten(0, 1)
                    saved += [phi_BRR, z_NR]
                saved.append(B_OR)
                y_NO = (y_NO.addmm_ if in_place else y_NO.addmm)(z_NR, B_OR.mT, alpha=scale)
                in_place = True
                if gain_O is not None and number == without_phi:  # (1) is complete: g u + b
                    saved[u_index] = y_NO
                    gained = y_NO * gain_O if linear.bias is None else torch.addcmul(linear.bias, y_NO, gain_O)
                    y_NO = gained.to(y_NO.dtype)
            outputs.append(y_NO.view(samples, -1, y_NO.shape[1]))
        ctx.forms = [(linear.scale, [path.phi is not None for path in linear.paths]) for linear in linears]
        ctx.ranks, ctx.samples = ranks, samples
        ctx.save_for_backward(x_NI, down_SI, d_NS, *saved)
        return tuple(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        # gd, gx, gy, gz, gg, gA: the gradients of d, x, y, z, g and A. Gradients of B are computed transposed, since a
        # product with few rows is faster than one with few columns.
        x_NI, down_SI, d_NS, *tensors = ctx.saved_tensors
        saved = iter(tensors)
        needs_gx = ctx.needs_input_grad[2]
        gd_NS = torch.empty_like(d_NS)
        parts = zip(d_NS.split(ctx.ranks, dim=1), gd_NS.split(ctx.ranks, dim=1), strict=True)
        gx_NI: Tensor | None = None
        gradients: list[Any] = []
        A_indexes = []  # of the gradient of each A in `gradients`
        for (scale, mixed), gy_BTO in zip(ctx.forms, grads, strict=True):
            gy_NO = gy_BTO.reshape(-1, gy_BTO.shape[-1])
            weight, gain_O, u_NO = next(saved), next(saved), next(saved)
            if weight is not None and needs_gx:
                gW_OI = _gained(weight, gain_O)  # (11), first sum: g W
                gx_NI = gy_NO @ gW_OI if gx_NI is None else gx_NI.addmm_(gy_NO, gW_OI)
            gg_O = None if u_NO is None else (gy_NO * u_NO).sum(0, dtype=gain_O.dtype)  # (3)
            gradients += [None, None, None if weight is not None else gy_BTO, gg_O]
            for has_phi, (d_NR, gd_NR) in zip(mixed, parts, strict=False):
                A_indexes.append(len(gradients))
                if has_phi:
                    phi_BRR, z_NR, B_OR = next(saved), next(saved), next(saved)
                    gz_BTR = (gy_NO @ B_OR).view(ctx.samples, -1, B_OR.shape[1])  # (6)
                    gd_NR.view(gz_BTR.shape).copy_(gz_BTR @ phi_BRR)  # (9)
                    gradients += [None, (z_NR.mT @ gy_NO).mT, gz_BTR.mT @ d_NR.view(gz_BTR.shape)]  # (7), (8)
                else:
                    B_OR = next(saved)
                    torch.addmm(gd_NR, gy_NO, _gained(B_OR, gain_O), beta=0, alpha=scale, out=gd_NR)  # (4)
                    gradients += [None, _gained((d_NR.mT @ gy_NO).mul_(scale).mT, gain_O), None]  # (5)
        for index, gA_RI in zip(A_indexes, (gd_NS.mT @ x_NI).split(ctx.ranks), strict=True):  # (10)
            gradients[index] = gA_RI
        gx_BTI = None
        if needs_gx:  # (11), second sum
            gx_NI = gd_NS @ down_SI if gx_NI is None else gx_NI.addmm_(gd_NS, down_SI)
            gx_BTI = gx_NI.view(ctx.samples, -1, gx_NI.shape[1])
        return None, None, gx_BTI, *gradients


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
