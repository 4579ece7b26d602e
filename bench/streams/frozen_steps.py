"""How far streams compute the same in every pass, whatever a method trains."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from bench.streams.base import Stream
from bench.streams.lockstep import MultiStream


def frozen_steps(model: MultiStream) -> int:
    """Return the number of steps of the lockstep, from the first, before anything that a method trains or adds.

    What enters a later step then depends on the inputs alone. It is 0 if embeddings are trained, or tokens are added,
    or anything outside the linears of blocks is trained, which may act anywhere.
    """
    changing = {name: _first_changing(model, name, stream) for name, stream in model.streams.items()}
    exchanging = min((step for step, _ in model.exchanges()), default=len(model.schedule))
    for number, step in enumerate(model.schedule):
        if number == exchanging or any(turn.paired >= changing[name] for name, turn in step.items()):
            return number
    return len(model.schedule)


def _first_changing(model: MultiStream, name: str, stream: Stream) -> int:
    """Return the number of the first block of a stream that is trained or adapted; its depth if none is."""
    if stream.added:
        return 0
    places = {f"encoder.{path}.": block for block in range(stream.depth) for path in stream.linears(block).values()}
    blocks = [
        next((block for path, block in places.items() if changing.startswith(path)), 0)
        for changing in _changing(stream)
    ]
    blocks += [int(block) for adapted, of in model.adapters.items() if adapted == name for block in of]  # type: ignore[attr-defined]
    return min(blocks, default=stream.depth)


def _changing(stream: Stream) -> Iterator[str]:
    """Yield the names of what does not compute the same in every pass: trained parameters, and dropout."""
    # A parameter that several blocks share has several names.
    for name, parameter in stream.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            yield name
    for name, module in stream.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            yield name
