"""PEFT adapters on the encoders of a multi-stream model, one a stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.methods.base import check_tensors
from bench.streams.lockstep import MultiStream

_WEIGHTS = "adapter_model.safetensors"


class PeftAdapters:
    """One PEFT adapter on each stream's encoder, for all linears of all blocks.

    PEFT puts its layers into the encoder, where the stream finds them; its model around the encoder is kept here,
    outside the module tree, for saving, loading and merging.

    Attributes:
        models: PEFT's model of each stream.
    """

    def __init__(self, model: MultiStream, config: Callable[[list[str]], PeftConfig]) -> None:
        """Put adapters into a model.

        Args:
            model: to be adapted, in place.
            config: returns PEFT's configuration for the paths of the linears to be adapted.
        """
        self.models: dict[str, PeftModel] = {}
        for name, stream in model.streams.items():
            targets = [path for block in range(stream.depth) for path in stream.linears(block).values()]
            with warnings.catch_warnings():
                # PEFT 0.21 asks for a property that transformers 5.23 has renamed: nothing a user can mend.
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
                self.models[name] = get_peft_model(stream.encoder, config(targets))
        self._base: dict[nn.Parameter, Tensor] = {}

    def save(self, folder: Path) -> None:
        """Write a folder a stream, which `PeftModel.from_pretrained` opens on the plain encoder."""
        for name, model in self.models.items():
            model.save_pretrained(str(folder / name), save_embedding_layers=False)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: the saved weights are not those of these adapters.
        """
        for name, model in self.models.items():
            weights = load_file(folder / name / _WEIGHTS)
            check_tensors(weights, get_peft_model_state_dict(model, save_embedding_layers=False), folder / name)
            set_peft_model_state_dict(model, weights)

    def merge(self) -> None:
        """Fold the adapters into the base weights."""
        if self._base:
            return
        # PEFT unmerges by subtraction, which does not give the same bits again: keep a copy.
        self._base = {
            parameter: parameter.detach().clone()
            for model in self.models.values()
            for layer in model.modules()
            if isinstance(layer, BaseTunerLayer)
            for parameter in layer.get_base_layer().parameters()
        }
        for model in self.models.values():
            model.merge_adapter()

    def unmerge(self) -> None:
        """Take the adapters out of the base weights again, which are then the same bit for bit."""
        if not self._base:
            return
        for model in self.models.values():
            model.unmerge_adapter()
        with torch.no_grad():
            for parameter, value in self._base.items():
                parameter.copy_(value)
        self._base = {}
