"""PEFT adapters on the encoders of a multi-stream model, one a stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from bench.files import use_default_permissions
from bench.methods import peft_residual
from bench.methods.base import check_tensors, read_tensors
from bench.streams.base import Stream
from bench.streams.lockstep import MultiStream

_WEIGHTS = "adapter_model.safetensors"


class PeftAdapters:
    """One PEFT adapter on each stream's encoder.

    PEFT puts its layers into the encoder, where the stream finds them; its model around the encoder is kept here,
    outside the module tree, for saving, loading and merging.

    Attributes:
        models: PEFT's model of each stream.
    """

    def __init__(self, model: MultiStream, config: Callable[[Stream], PeftConfig]) -> None:
        """Put adapters into a model.

        Args:
            model: to be adapted, in place.
            config: returns PEFT's configuration for a stream.
        """
        self.models: dict[str, PeftModel] = {}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for name, stream in model.streams.items():
            commit = getattr(stream.encoder.config, "_commit_hash", None)  # of the hub, where it is known
            with _quiet():
                self.models[name] = get_peft_model(stream.encoder, config(stream), revision=commit)
        for parameter in trained:  # by another method: PEFT freezes all but its own
            parameter.requires_grad_(True)
        self._start = {
            name: peft_residual.factors(model)
            for name, model in self.models.items()
            if peft_residual.splits_weights(model.peft_config["default"])
        }
        self._unmerged: dict[nn.Parameter, Tensor] = {}

    def layers(self) -> Iterator[BaseTunerLayer]:
        """Yield the adapted layers of all streams."""
        for model in self.models.values():
            for layer in model.modules():
                if isinstance(layer, BaseTunerLayer):
                    yield layer

    def tensors(self) -> Iterator[Tensor]:
        """Yield what `save` writes, sharing memory with the model."""
        for model in self.models.values():
            yield from peft_residual.tensors(model).values()

    def save(self, folder: Path) -> None:
        """Write a folder a stream, which `PeftModel.from_pretrained` opens on the plain encoder."""
        for name, model in self.models.items():
            model.save_pretrained(str(folder / name), save_embedding_layers=False)
            (folder / name / "README.md").unlink(missing_ok=True)  # PEFT's form to be filled in
            if start := self._start.get(name):
                peft_residual.save(model, start, folder / name, _WEIGHTS)
            use_default_permissions(folder / name / _WEIGHTS)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: the saved weights are missing, or not those of these adapters.
        """
        for name, model in self.models.items():
            weights = read_tensors(folder / name / _WEIGHTS)
            start = self._start.get(name)
            here = peft_residual.updates(model, start) if start else peft_residual.tensors(model)
            check_tensors(weights, here, folder / name)
            if start:
                weights, self._start[name] = peft_residual.split(weights)
                peft_residual.begin_with(model, start, self._start[name])
            set_peft_model_state_dict(model, weights)

    def merge(self) -> bool:
        """Fold the adapters into the base weights; return whether this method of PEFT's can."""
        if self._unmerged:
            return True
        # PEFT unmerges by subtraction, which does not give the same bits again: keep a copy. Of the adapters' weights
        # too: constrained OFT projects its own where it merges.
        unmerged = {
            parameter: parameter.detach().clone() for layer in self.layers() for parameter in layer.parameters()
        }
        try:
            for model in self.models.values():
                model.merge_adapter()
        except NotImplementedError:
            return False
        self._unmerged = unmerged
        return True

    def unmerge(self) -> None:
        """Take the adapters out of the base weights again: all weights are then the same bit for bit."""
        if not self._unmerged:
            return
        with _quiet():
            for model in self.models.values():
                model.unmerge_adapter()
        with torch.no_grad():
            for parameter, value in self._unmerged.items():
                parameter.copy_(value)
        self._unmerged = {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back warnings of PEFT that tell a user nothing to mend."""
    with warnings.catch_warnings():
        # PEFT 0.21 asks for a property that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # LN tuning is for norms, which PEFT's common code for layers does not know.
        warnings.filterwarnings("ignore", "Unsupported layer type .*LayerNorm", UserWarning)
        # The base weights are copied back after it.
        warnings.filterwarnings("ignore", "Unmerge result can be inaccurate", UserWarning)
        yield
