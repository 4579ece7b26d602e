"""Validation of the parameter groups of a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.methods.base import Method, ParameterGroup

if TYPE_CHECKING:
    from torch import nn


def checked_groups(method: Method, streams: nn.Module) -> dict[str, ParameterGroup]:
    """Return the parameter groups of an attached method, by name.

    Args:
        method: The method.
        streams: The model that it is attached to.

    Raises:
        BenchError: They are no mapping of names to groups, a rate or a decay is negative or not finite, or a group
            names a parameter that is not trained, or that is in another group.
    """
    groups, caller = method.parameter_groups(), f"{type(method).__name__}.parameter_groups"
    if not isinstance(groups, Mapping):
        raise BenchError(f"{caller} returns {_kind(groups)}: it must return a mapping of names to ParameterGroup")
    free = {name for name, parameter in streams.named_parameters() if parameter.requires_grad}
    for name, group in groups.items():
        place = f"{caller}: parameter group {name}"
        if not (isinstance(name, str) and isinstance(group, ParameterGroup)):
            raise BenchError(f"{place} is {_kind(group)}: each must be a ParameterGroup, under a name")
        if not isinstance(group.names, Sequence) or isinstance(group.names, str):
            raise BenchError(f"{place}: names is {_kind(group.names)}: it must be a list of names of parameters")
        _check_factor(f"{place}: lr_factor", group.lr_factor)
        if group.weight_decay is not None:
            _check_factor(f"{place}: weight_decay", group.weight_decay)
        for parameter in group.names:
            if parameter not in free:
                raise BenchError(f"{place}: {parameter} is not a trained parameter of the streams, or is in two groups")
            free.remove(parameter)
    return dict(groups)


def _check_factor(place: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value >= 0):  # type: ignore[arg-type,operator]
        raise BenchError(f"{place} is {value!r}: it must be a finite number of at least 0")


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
