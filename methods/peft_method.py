"""What methods that come from PEFT share: one PEFT adapter a stream."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.methods.base import Method

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from bench.streams.base import Stream
    from bench.streams.lockstep import MultiStream


@dataclass
class PeftMethod(Method):
    """A method that PEFT has: it must define `config`, which returns PEFT's configuration for a stream."""

    @abstractmethod
    def config(self, stream: Stream) -> PeftConfig:
        """Return PEFT's configuration for one stream's encoder."""

    def attach(self, model: MultiStream) -> None:
        """Put PEFT's layers into the encoder of every stream, to be evaluated in the fused form where there is one.

        Raises:
            BenchError: the linears of a stream are evaluated in another way already, which need not know PEFT's layers.
        """
        from bench.methods.fused_linears import fused_evaluator
        from bench.methods.peft_adapters import PeftAdapters

        super().attach(model)
        self.adapters = PeftAdapters(model, self.config)
        for name, stream in model.streams.items():
            if stream.default_evaluator not in (None, fused_evaluator):
                raise BenchError(
                    f"{type(self).__name__} cannot be attached: another base class has set Stream.default_evaluator of "
                    f"{name}, which would bypass PEFT's layers. Put that work into modules or into an Exchange instead."
                )
            stream.default_evaluator = fused_evaluator

    def merge(self) -> bool:
        """Fold the adapters into the base weights, where the method can; return whether it can."""
        return self.adapters.merge()

    def unmerge(self) -> None:
        """Give the base weights back as they were, bit for bit."""
        self.adapters.unmerge()

    def held_apart(self) -> list[Tensor]:
        """Return what PEFT's folders hold."""
        return [*super().held_apart(), *self.adapters.tensors()]

    def save(self, folder: Path) -> None:
        """Write a PEFT folder a stream, the settings, and by its name what is trained besides."""
        super().save(folder)
        self.adapters.save(folder)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: it was saved with other settings or from other streams, or is incomplete.
        """
        self.check_description(folder)
        self.adapters.load(folder)
        super().load(folder)
