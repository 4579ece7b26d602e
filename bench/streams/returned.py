"""Checks of what the modules of a method return, at the calls: of shapes only, since they are done in each step.

Without them torch, or the next stage, would say what does not fit, and not whose it is; or nothing would.

Dimensions in names: B batch, T tokens, D width of the stream, P added tokens, I and O input and output features.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from bench.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from bench.streams.base import LinearEvaluator


def check_shape(module: nn.Module, member: str, value: object, *shapes: Sequence[int]) -> None:
    """Check that a module has returned a tensor with one of these shapes.

    Args:
        module: The module of a method.
        member: What of it was called, for the message: "after".
        value: What it returned.
        shapes: The shapes that are accepted.

    Raises:
        BenchError: It has not; names the class of the module.
    """
    if not isinstance(value, Tensor) or value.shape not in shapes:
        expected = " or ".join(str(tuple(shape)) for shape in shapes)
        raise BenchError(f"{type(module).__name__}.{member} returned {_kind(value)}: a tensor {expected} was expected")


def checked_evaluators(
    exchange: nn.Module, evaluators: object, targets: Collection[str], features: Callable[[str, str], int]
) -> dict[str, LinearEvaluator]:
    """Return the evaluators that an exchange has returned, each with a check of what it returns.

    Args:
        exchange: The exchange.
        evaluators: What its `read` returned.
        targets: The streams that may have one.
        features: Returns the output features of a linear of a stream, by their names.

    Raises:
        BenchError: They are no mapping of these streams to functions; names the class of the exchange.
    """
    caller = f"{type(exchange).__name__}.read"
    if not isinstance(evaluators, Mapping):
        raise BenchError(f"{caller} returned {_kind(evaluators)}: a mapping of streams to evaluators was expected")
    for target, evaluator in evaluators.items():
        if target not in targets:
            raise BenchError(f"{caller} returned an evaluator for {target}: {did_you_mean(str(target), targets)}")
        if not callable(evaluator):
            raise BenchError(f"{caller} returned {_kind(evaluator)} for {target}: evaluator(linears, x) was expected")
    return {target: _checked(exchange, target, evaluator, features) for target, evaluator in evaluators.items()}


def _checked(
    exchange: nn.Module, target: str, evaluator: LinearEvaluator, features: Callable[[str, str], int]
) -> LinearEvaluator:
    name = f"an evaluator of {type(exchange).__name__} for {target}"

    def evaluate(linears: Mapping[str, nn.Module], x_BTI: Tensor) -> Sequence[Tensor]:
        outputs = evaluator(linears, x_BTI)
        if not isinstance(outputs, list | tuple) or len(outputs) != len(linears):
            number = f" of {len(outputs)}" if isinstance(outputs, list | tuple) else ""
            raise BenchError(
                f"{name} returned {_kind(outputs)}{number}: a list of {len(linears)} was expected, the outputs of "
                f"{', '.join(linears)} in this order"
            )
        leading = x_BTI.shape[:-1]
        for role, y_BTO in zip(linears, outputs, strict=True):
            width = features(target, role)
            if not isinstance(y_BTO, Tensor) or y_BTO.shape[-1] != width or y_BTO.shape[:-1] != leading:
                expected = (*leading, width)
                raise BenchError(f"{name} returned {_kind(y_BTO)} for {role}: a tensor {expected} was expected")
        return outputs

    return evaluate


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
