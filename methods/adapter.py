"""Bottleneck adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.methods.base import Method

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class Adapter(Method):
    """A bottleneck around the attention and the MLP of every block: f(x) + W2 GELU(W1 f(x) + b1) + b2.

    f is the attention or the MLP, and the block adds the result to x. Houlsby et al., "Parameter-Efficient Transfer
    Learning for NLP", ICML 2019, arXiv 1902.00751. Beside f, reading x in its place, it is the parallel adapter of He
    et al., "Towards a Unified View of Parameter-Efficient Transfer Learning", ICLR 2022, arXiv 2110.04366. W2 and b2
    start at 0, so the model starts as the frozen one.

    Choices: Houlsby et al. train the norms too; here they stay frozen. In their code
    (github.com/google-research/adapter-bert), W1 and W2 are drawn with a standard deviation of 0.001, and GELU is
    approximated by tanh. Here W1 is drawn as torch draws it, and GELU is exact.

    Attributes:
        bottleneck: Hidden features.
        place: Whether the bottleneck reads the output of the sublayer (after) or its input (beside).
    """

    bottleneck: int = 64
    place: Literal["after", "beside"] = "after"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bottleneck < 1:
            raise ValueError("bottleneck must be at least 1")

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The features of the bottleneck."""
        return ("bottleneck",)

    def attach(self, model: MultiStream) -> None:
        """Add a bottleneck to both sublayers of every block of every stream."""
        from bench.methods.bottleneck import BottleneckAdapter
        from bench.streams.additions import SUBLAYERS

        super().attach(model)
        for name, stream in model.streams.items():
            parameter = next(stream.encoder.parameters())
            for block in range(stream.depth):
                for sublayer in SUBLAYERS:
                    adapter = BottleneckAdapter(stream.width_at(block), self.bottleneck, self.place)
                    model.add_adapter(name, block, sublayer, adapter.to(parameter.device, parameter.dtype))
