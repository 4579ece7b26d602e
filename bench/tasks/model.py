"""The whole model of a run: streams and the task's head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor, nn

from bench.streams.base import mean_token
from bench.streams.lockstep import Masks, MultiStream, States

Output: TypeAlias = "Tensor | dict[str, Tensor]"
"""What a head gives and a task takes: one tensor, or several by name."""


_STATE, _MASK = "state of ", "mask of "  # before a stream's name


class Head(nn.Module, ABC):
    """A task's head: from the streams' tokens to the task's output.

    Attributes:
        special: by stream, how many tokens come before its patches or words; the model says so before the first use.
    """

    special: Mapping[str, int] = {}

    def summary(self, states: States, stream: str, masks: Masks | None = None) -> Tensor:
        """What a stream says of its whole input, (B, D): its class token, or without one the mean of its tokens."""
        tokens_BTD = states[stream]
        if self.special.get(stream, 1):
            return tokens_BTD[:, 0]
        return mean_token(tokens_BTD, (masks or {}).get(stream))

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
        head.special = {name: stream.special for name, stream in streams.streams.items()}

    def forward(self, batch: Mapping[str, Tensor]) -> Output:
        """The head's output (B, T, ...) for a batch that holds, under each stream's name, inputs (B, T, ...).

        Or else what `states` made of such a batch.
        """
        if not any(name.startswith(_STATE) for name in batch):
            batch = self.states(batch)
        states = {name.removeprefix(_STATE): value for name, value in batch.items() if name.startswith(_STATE)}
        masks = {name.removeprefix(_MASK): value for name, value in batch.items() if name.startswith(_MASK)}
        shape = next(iter(states.values())).shape[:2]
        output = self.head(*({name: value.flatten(0, 1) for name, value in part.items()} for part in (states, masks)))
        if isinstance(output, Tensor):
            return output.unflatten(0, shape)
        return {name: part.unflatten(0, shape) for name, part in output.items()}

    def states(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the head reads of a batch's inputs: tokens (B, T, tokens, D) and masks (B, T, tokens) of the streams."""
        inputs = {
            name: stream.input.normalise(batch[name].flatten(0, 1)) for name, stream in self.streams.streams.items()
        }
        shape = next(batch[name].shape[:2] for name in inputs)
        found = {_STATE + name: tokens for name, tokens in self.streams(inputs).items()}
        found |= {_MASK + name: mask for name, mask in self.streams.masks(inputs).items()}
        return {name: value.unflatten(0, shape) for name, value in found.items()}
