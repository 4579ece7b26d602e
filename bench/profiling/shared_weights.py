"""Copies of streams, one a method, that share the memory of what stays frozen: ten whole ones would fill a machine."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.streams.lockstep import MultiStream


class SharedStreams:
    """Streams that lend their weights to copies of themselves.

    Args:
        streams: on the CPU; they stay there, for methods that look at weights when they are attached.
        device: where the copies compute.
    """

    def __init__(self, streams: MultiStream, device: torch.device) -> None:
        self.streams = streams
        self._placed = {name: parameter.detach().to(device) for name, parameter in streams.named_parameters()}

    def copy(self) -> SharingCopy:
        """A copy to attach a method to."""
        memo: dict[int, object] = {id(buffer): buffer for buffer in self.streams.buffers()}
        lent: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        for name, parameter in self.streams.named_parameters():
            own = nn.Parameter(parameter.detach(), requires_grad=False)  # a parameter of its own in the same memory
            memo[id(parameter)] = own
            lent[own] = parameter.detach(), self._placed[name]
        return SharingCopy(copy.deepcopy(self.streams, memo), lent)


class SharingCopy:
    """Streams in memory that is not theirs alone. First the method is attached, then `settle` is called, once.

    Attributes:
        streams: the copy.
    """

    def __init__(self, streams: MultiStream, lent: Mapping[nn.Parameter, tuple[Tensor, Tensor]]) -> None:
        self.streams = streams
        self._lent = lent
        self._shared: dict[nn.Parameter, Tensor] = {}

    def settle(self) -> None:
        """Gives what is trained memory of its own, and puts what is still shared onto the device."""
        for parameter, (original, placed) in self._lent.items():
            if parameter.requires_grad:
                parameter.data = parameter.data.clone()
            elif parameter.data_ptr() == original.data_ptr():  # else the method has put other weights there
                self._shared[parameter] = parameter.data = placed

    def share(self) -> None:
        """Takes shared memory again where something was merged and taken out again in new memory."""
        for parameter, placed in self._shared.items():
            parameter.data = placed
