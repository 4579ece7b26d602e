"""Floors: what a step or a forward pass must take at least, if only its matrix products took any time.

The products of a method are recorded with the shapes and strides of their operands, and done again by themselves. A
method's floor relative to a reference is the time of the reference, with the method's products in place of its own. It
is a bound from below: operands that are used again and again stay in the cache, which those of a model do not.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.measurement.speed import turns

_PRODUCTS = {
    torch.ops.aten.mm.default,
    torch.ops.aten.mm.out,
    torch.ops.aten.addmm.default,
    torch.ops.aten.addmm_.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.baddbmm.default,
    # Inference mode does not take these apart.
    torch.ops.aten.linear.default,
    torch.ops.aten.matmul.default,
}


class Products(TorchDispatchMode):
    """Records the matrix products that are done inside it, and does them again.

    Attributes:
        calls: Operator, operands that are no tensors of the model but of the same shapes and strides, and options.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = []
        self._operands: dict[tuple[Any, ...], Tensor] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        if func in _PRODUCTS:
            operands = {name: self._like(value) for name, value in kwargs.items()}
            self.calls.append((func, [self._like(value, number) for number, value in enumerate(args)], operands))
        return func(*args, **kwargs)

    def _like(self, value: Any, place: int = -1) -> Any:
        """Return an operand like a tensor; the same one for all of its form in this place, which saves memory."""
        if not isinstance(value, Tensor):
            return value
        form = (tuple(value.shape), value.stride(), value.dtype, place)
        if form not in self._operands:
            self._operands[form] = torch.empty_strided(
                value.shape, value.stride(), dtype=value.dtype, device=value.device
            ).normal_(std=1e-3)
        return self._operands[form]

    @torch.inference_mode()
    def again(self) -> None:
        """Do all recorded products."""
        for func, operands, options in self.calls:
            func(*operands, **options)


def recorded(work: Callable[[], object]) -> Products:
    """Return the products of some work, which is done once."""
    with Products() as products:
        work()
    return products


def floor(work: Callable[[], object], reference: Callable[[], object], rounds: int, device: torch.device) -> float:
    """Return the floor of some work relative to a reference, as a ratio of times.

    Args:
        work: A training step or a forward pass.
        reference: The same of the reference method.
        rounds: Rounds of the measurement, by turns.
        device: Where both are done.
    """
    products, reference_products = recorded(work), recorded(reference)
    alternatives = {
        "reference": reference,
        "its products": reference_products.again,
        "products": products.again,
    }
    seconds = {name: median(values) for name, values in turns(alternatives, rounds, device).items()}
    return (seconds["reference"] - seconds["its products"] + seconds["products"]) / seconds["reference"]
