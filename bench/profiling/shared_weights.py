"""Copies of streams, one for each method, that share frozen weights: ten full copies would fill a machine."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.streams.lockstep import MultiStream


class SharedStreams:
    """Streams that share their weights with copies of themselves.

    Attributes:
        streams: The streams, on the CPU, where they remain for methods that read weights when attached.
    """

    def __init__(self, streams: MultiStream, device: torch.device) -> None:
        """Place the weights of streams on a device.

        Args:
            streams: The streams, on the CPU.
            device: The device of the copies.
        """
        self.streams = streams
        self._placed = {name: parameter.detach().to(device) for name, parameter in streams.named_parameters()}

    def copy(self) -> SharingCopy:
        """Return a copy to attach a method to."""
        memo: dict[int, object] = {id(buffer): buffer for buffer in self.streams.buffers()}
        lent: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        for name, parameter in self.streams.named_parameters():
            own_parameter = nn.Parameter(parameter.detach(), requires_grad=False)  # in the same memory
            memo[id(parameter)] = own_parameter
            lent[own_parameter] = parameter.detach(), self._placed[name]
        return SharingCopy(copy.deepcopy(self.streams, memo), lent)


class SharingCopy:
    """Streams that share memory with other copies. Attach the method first, then call `settle` once.

    Attributes:
        streams: The copy.
    """

    def __init__(self, streams: MultiStream, lent: Mapping[nn.Parameter, tuple[Tensor, Tensor]]) -> None:
        self.streams = streams
        self._lent = lent
        self._shared: dict[nn.Parameter, Tensor] = {}

    def settle(self) -> None:
        """Give trained parameters their own memory, and put shared ones onto the device."""
        for parameter, (original, placed) in self._lent.items():
            if parameter.requires_grad:
                parameter.data = parameter.data.clone()
            elif parameter.data_ptr() == original.data_ptr():  # else the method has replaced the weights
                self._shared[parameter] = parameter.data = placed

    def share(self) -> None:
        """Share memory again after merging and unmerging have allocated new memory."""
        for parameter, placed in self._shared.items():
            parameter.data = placed
