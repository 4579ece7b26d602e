"""The whole model of a run: the streams and the task's head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from torch import Tensor, nn

from bench.streams.base import summarize
from bench.streams.lockstep import Masks, MultiStream, States

Output: TypeAlias = "Tensor | dict[str, Tensor]"
"""The output of a head: one tensor, or several by name."""


# Prefixes of names of streams. That of a state within the streams is preceded by the number of steps done.
_STATE, _MASK, _EARLY = "state of ", "mask of ", " steps of "


class Head(nn.Module, ABC):
    """The head of a task, from the streams' tokens to the task's output.

    Attributes:
        special: Number of tokens before the patches or words of each stream; set by the model before the first use.
        class_tokens: `Stream.class_token` of each stream; set likewise. By default, the first of the special tokens.
    """

    pools: ClassVar[bool] = False
    """Whether the head reads the T inputs of a sample together, and returns one output for each sample."""
    special: Mapping[str, int] = {}
    class_tokens: Mapping[str, int | None] = {}

    def summary(self, states: States, stream: str, masks: Masks | None = None) -> Tensor:
        """Return the summary (B, D) of a stream: its class token, or the mean of its tokens if it has none.

        Args:
            states: Tokens (B, tokens, D) of every stream; for a head that pools (B, T, tokens, D), and the summary is
                (B, T, D).
            stream: Name of the stream.
            masks: Which tokens are not padding, (B, tokens) or (B, T, tokens), of streams with padding.
        """
        class_token = self.class_tokens.get(stream, 0 if self.special.get(stream, 1) else None)
        return summarize(states[stream], class_token, (masks or {}).get(stream))

    @abstractmethod
    def forward(self, states: States, masks: Masks) -> Output:
        """Return the output for each input (B, ...): the B here is that of samples times T.

        A head that pools gets the inputs of each sample in a dimension of their own, and returns the output (B, ...) of
        each sample. Of a stream with one input for each sample, such as a text beside the frames of a video, T is 1
        there; a head that does not pool gets it T times.

        Args:
            states: Tokens (B, tokens, D) of every stream; (B, T, tokens, D) if the head pools.
            masks: Which tokens are not padding, (B, tokens) or (B, T, tokens), of streams with padding.
        """


class TaskModel(nn.Module):
    """Streams and head. The T inputs of a sample are processed like T samples, by the head too unless it pools."""

    def __init__(self, streams: MultiStream, head: Head) -> None:
        super().__init__()
        self.streams = streams
        self.head = head
        head.special = {name: stream.special for name, stream in streams.streams.items()}
        head.class_tokens = {name: stream.class_token for name, stream in streams.streams.items()}

    def forward(self, batch: Mapping[str, Tensor]) -> Output:
        """Return the head's output for a batch: (B, T, ...), or (B, ...) of a head that pools.

        Args:
            batch: Inputs (B, T, ...) by stream, or what `begin` or `states` returned for them.
        """
        if not any(name.startswith(_STATE) for name in batch):
            batch = self.states(batch)
        states = {name.removeprefix(_STATE): value for name, value in batch.items() if name.startswith(_STATE)}
        masks = {name.removeprefix(_MASK): value for name, value in batch.items() if name.startswith(_MASK)}
        if self.head.pools:
            return self.head(states, masks)
        shape = max(value.shape[:2] for value in states.values())
        output = self.head(*({name: _rows(value, shape) for name, value in part.items()} for part in (states, masks)))
        if isinstance(output, Tensor):
            return output.unflatten(0, shape)
        return {name: part.unflatten(0, shape) for name, part in output.items()}

    def states(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the head reads of a batch's inputs.

        Args:
            batch: Inputs (B, T, ...) by stream, those of some may be one for each sample, (B, 1, ...); or what `begin`
                returned for them.

        Returns:
            Tokens (B, T, tokens, D) of all streams and masks (B, T, tokens) of those with padding, with the T of their
            inputs.
        """
        if not any(_EARLY in name for name in batch):
            batch = self.begin(batch)
        early = {name.partition(_EARLY)[2]: value for name, value in batch.items() if _EARLY in name}
        masks = {name: value for name, value in batch.items() if name.startswith(_MASK)}
        states = self.streams.resume(
            {name: value.flatten(0, 1) for name, value in early.items()},
            {name.removeprefix(_MASK): value.flatten(0, 1) for name, value in masks.items()},
            max(value.shape[1] for value in early.values()),
            next(int(name.partition(_EARLY)[0]) for name in batch if _EARLY in name),
        )
        return {_STATE + name: tokens.unflatten(0, early[name].shape[:2]) for name, tokens in states.items()} | masks

    def begin(self, batch: Mapping[str, Tensor], steps: int = 0) -> dict[str, Tensor]:
        """Return what the streams make of a batch's inputs in some steps of the lockstep, which `states` completes.

        Args:
            batch: Inputs, as for `states`.
            steps: Number of steps, from the first.

        Returns:
            Tokens (B, T, tokens, D) of all streams and masks (B, T, tokens) of those with padding.
        """
        inputs = {
            name: stream.input.normalize(batch[name].flatten(0, 1)) for name, stream in self.streams.streams.items()
        }
        shapes = {name: batch[name].shape[:2] for name in inputs}
        states = self.streams.begin(inputs, max(frames for _, frames in shapes.values()), steps)
        read = {f"{steps}{_EARLY}{name}": tokens.unflatten(0, shapes[name]) for name, tokens in states.items()}
        return read | {_MASK + name: x.unflatten(0, shapes[name]) for name, x in self.streams.masks(inputs).items()}

    def besides_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the columns of a batch that are neither inputs of the streams nor what `begin` made of them."""
        return {
            name: values
            for name, values in batch.items()
            if name not in self.streams.streams and _EARLY not in name and not name.startswith(_MASK)
        }


def _rows(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Return what a head reads of a stream (B, T, ...) as rows (B x T, ...), T repeated if it is one for a sample."""
    return value.expand(*shape, *value.shape[2:]).flatten(0, 1)
