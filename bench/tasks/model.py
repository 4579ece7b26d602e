"""The whole model of a run: streams and the task's head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor, nn

from bench.streams.lockstep import Masks, MultiStream, States

Output: TypeAlias = "Tensor | dict[str, Tensor]"
"""What a head gives and a task takes: one tensor, or several by name."""


class Head(nn.Module, ABC):
    """A task's head: from the streams' tokens to the task's output."""

    @abstractmethod
    def forward(self, states: States, masks: Masks) -> Output:
        """The output for each input.

        Args:
            states: tokens (B, tokens, D) of every stream.
            masks: which tokens are real, not padding, (B, tokens); of those streams only that have padding.
        """


class TaskModel(nn.Module):
    """Streams and head. A sample's T inputs go through side by side, as if they were T samples."""

    def __init__(self, streams: MultiStream, head: Head) -> None:
        super().__init__()
        self.streams = streams
        self.head = head

    def forward(self, batch: Mapping[str, Tensor]) -> Output:
        """The head's output (B, T, ...) for a batch that holds, under each stream's name, inputs (B, T, ...)."""
        inputs = {
            name: stream.input.normalise(batch[name].flatten(0, 1)) for name, stream in self.streams.streams.items()
        }
        shape = tuple(next(batch[name].shape[:2] for name in inputs))
        output = self.head(self.streams(inputs), self.streams.masks(inputs))
        if isinstance(output, Tensor):
            return output.unflatten(0, shape)
        return {name: part.unflatten(0, shape) for name, part in output.items()}
