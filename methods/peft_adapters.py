"""PEFT adapters on the encoders of a multi-stream model, one for each adapted stream."""

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
    """One PEFT adapter on the encoder of each adapted stream.

    PEFT puts its layers into the encoder, where the stream finds them. PEFT's model around the encoder is stored here,
    outside the module tree, for saving, loading and merging.

    Attributes:
        models: PEFT's model of each adapted stream.
    """

    def __init__(
        self,
        model: MultiStream,
        config: Callable[[Stream], PeftConfig],
        adapts: Callable[[Stream], bool] = lambda stream: True,
    ) -> None:
        """Put adapters into a model.

        Args:
            model: The model to adapt, in place.
            config: Returns PEFT's configuration for a stream.
            adapts: Returns whether a stream is adapted.
        """
        self.models: dict[str, PeftModel] = {}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for name, stream in model.streams.items():
            if not adapts(stream):
                continue
            commit = getattr(stream.encoder.config, "_commit_hash", None)  # of the hub, if known
            with _quiet():
                self.models[name] = get_peft_model(stream.encoder, config(stream), revision=commit)
        for parameter in trained:  # by another method: PEFT freezes all parameters but its own
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
        """Yield the tensors that `save` writes, sharing memory with the model."""
        for model in self.models.values():
            yield from peft_residual.tensors(model).values()

    def save(self, folder: Path) -> None:
        """Write a folder for each adapted stream, which `PeftModel.from_pretrained` opens on the plain encoder."""
        for name, model in self.models.items():
            model.save_pretrained(str(folder / name), save_embedding_layers=False)
            (folder / name / "README.md").unlink(missing_ok=True)  # PEFT's template of a model card
            if start := self._start.get(name):
                peft_residual.save(model, start, folder / name, _WEIGHTS)
            use_default_permissions(folder / name / _WEIGHTS)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote.

        Raises:
            BenchError: The saved weights are missing or do not match these adapters.
        """
        for name, model in self.models.items():
            weights = read_tensors(folder / name / _WEIGHTS)
            start = self._start.get(name)
            expected = peft_residual.updates(model, start) if start else peft_residual.tensors(model)
            check_tensors(weights, expected, folder / name)
            if start:
                weights, self._start[name] = peft_residual.split(weights)
                peft_residual.begin_with(model, start, self._start[name])
            set_peft_model_state_dict(model, weights)

    def merge(self) -> bool:
        """Fold the adapters into the base weights; return whether this PEFT method supports it."""
        if self._unmerged:
            return True
        # PEFT unmerges by subtraction, which does not restore the same bits, so keep a copy. Copy the adapters' weights
        # too: constrained OFT projects them when it merges.
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
        """Remove the adapters from the base weights, and restore all weights bit for bit."""
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
    """Suppress warnings of PEFT that do not concern the user."""
    with warnings.catch_warnings():
        # PEFT 0.21 asks for a property that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # LN tuning adapts norms, which PEFT's common code for layers does not support.
        warnings.filterwarnings("ignore", "Unsupported layer type .*LayerNorm", UserWarning)
        # The base weights are restored from a copy afterwards.
        warnings.filterwarnings("ignore", "Unmerge result can be inaccurate", UserWarning)
        yield
