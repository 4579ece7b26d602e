"""The base class of methods from PEFT: one PEFT adapter for each stream."""

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
    """A method from PEFT. It must define `config`, which returns PEFT's configuration for a stream."""

    merges = True
    opens_in_peft = True

    @abstractmethod
    def config(self, stream: Stream) -> PeftConfig:
        """Return PEFT's configuration for the encoder of one stream."""

    def adapts(self, stream: Stream) -> bool:
        """Return whether the method adapts a stream of the attached model: all by default."""
        return True

    def attach(self, model: MultiStream) -> None:
        """Put PEFT's layers into the encoder of every adapted stream, to be evaluated in the fused form where possible.

        Raises:
            BenchError: A stream already has another default evaluator, which might not use PEFT's layers.
        """
        from bench.methods.fused_linears import fused_evaluator
        from bench.methods.peft_adapters import PeftAdapters

        super().attach(model)
        self.adapters = PeftAdapters(model, self.config, self.adapts)
        for name, stream in model.streams.items():
            if stream.default_evaluator not in (None, fused_evaluator):
                raise BenchError(
                    f"{type(self).__name__} cannot be attached: another base class has set Stream.default_evaluator of "
                    f"{name}, which would bypass PEFT's layers. Put that work into modules or into an Exchange instead."
                )
            stream.default_evaluator = fused_evaluator

    def merge(self) -> bool:
        """Fold the adapters into the base weights if the method supports it; return whether it does."""
        return self.adapters.merge()

    def unmerge(self) -> None:
        """Restore the base weights, bit for bit."""
        self.adapters.unmerge()

    def held_apart(self) -> list[Tensor]:
        """Return the tensors that PEFT's folders contain."""
        return [*super().held_apart(), *self.adapters.tensors()]

    def save(self, folder: Path) -> None:
        """Write a PEFT folder for each adapted stream, the settings, and other trained tensors by name."""
        super().save(folder)
        self.adapters.save(folder)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote into the attached model.

        Raises:
            BenchError: The adapter was saved with other settings or from other streams, or is incomplete.
        """
        self.check_description(folder)
        self.adapters.load(folder)
        super().load(folder)
