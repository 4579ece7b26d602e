"""What a method is: a way to make a multi-stream model trainable."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, wording
from bench.files import MEBIBYTE, read_json, use_default_permissions
from bench.methods.search_space import Range, Space
from bench.system.tensor_files import check_header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.streams.lockstep import MultiStream

_DESCRIPTION = "method.json"
_WEIGHTS = "adapter.safetensors"


@dataclass
class Method(ABC):
    """A way to make a multi-stream model trainable.

    A method is a dataclass: its fields are its settings, and the first line of its docstring is what `bench list
    methods` shows. It must define `attach`; the rest has defaults that serve a method whose trained parameters lie
    in the model.
    """

    def __post_init__(self) -> None:
        """Check the settings; raise ValueError for those that make no sense. An override begins with super's."""
        return None

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check the settings against the names of the streams to be adapted, before anything is loaded.

        Raises:
            ValueError: a setting does not go with these streams.
        """
        return None

    @property
    def size_settings(self) -> tuple[str, ...]:
        """Settings, whole numbers from 1, that set how many parameters are trained: the main one, then finer ones.

        `--budget` turns them. Without any the method has one size.
        """
        return ()

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return the settings that change, and their values, when a size setting takes a value."""
        return {setting: value}

    def to_config(self) -> dict[str, Any]:
        """Return what tells these settings from others, as plain values: a run's id is made of them."""
        return asdict(self)

    @property
    def search(self) -> Space:
        """What `bench tune` searches, by name: settings, or learning rates of the recipe.

        Around what the suite has: by default a tenth to ten times the learning rate of the method's parameters.
        """
        return {"lr_adapter": Range()}

    @abstractmethod
    def attach(self, model: MultiStream) -> None:
        """Add the adapters to a frozen model and let exactly the parameters be trained that the method trains.

        An override begins with `super().attach(model)`.
        """
        self.model = model

    def adapter_names(self, model: MultiStream) -> list[str]:
        """Return the names of the model's trainable parameters."""
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    def active_parameters(self) -> int:
        """Return how many of the trained parameters are in use; fewer than all where the method masks some."""
        return sum(self.model.get_parameter(name).numel() for name in self.adapter_names(self.model))

    def before_training(self, steps: int) -> None:
        """Act before the first of so many steps."""
        return None

    def loss(self) -> Tensor | None:
        """Return a term to add to the task's loss at each step, or None."""
        return None

    def after_backward(self, step: int) -> None:
        """Act after the backward pass and the optimiser's step, before gradients are cleared.

        It is not called after a step that was skipped because gradients were not finite, as some are in fp16. What is
        to happen at a certain step must happen at the first later one for which it is called.

        Args:
            step: its number, from 0, of all that `before_training` gave; skipped ones count too.
        """
        return None

    def training_state(self) -> dict[str, Any]:
        """Return what training changes besides parameters, as tensors and plain values, for a checkpoint."""
        return {}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take up what `training_state` gave, after `before_training`."""
        return None

    def merge(self) -> bool:
        """Fold into the encoders' weights what can be folded, for faster scoring; return whether anything was.

        Merging twice is merging once.
        """
        return False

    def unmerge(self) -> None:
        """Undo `merge`, bit for bit."""
        return None

    def save(self, folder: Path) -> None:
        """Write what was trained, and the settings, into a folder.

        Every trained tensor is written by its name, but for those that `held_apart` returns: an override calls super's
        and writes these besides.
        """
        self.write_description(folder)
        if own := self._own():
            write_tensors(own, folder / _WEIGHTS)

    def load(self, folder: Path) -> None:
        """Read back, into the attached model, what `save` wrote.

        Raises:
            BenchError: it was saved with other settings or from other streams, or is incomplete.
        """
        import torch

        self.check_description(folder)
        own, path = self._own(), folder / _WEIGHTS
        if not own and not path.exists():
            return
        saved = read_tensors(path)
        check_tensors(saved, own, folder)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(saved[name])

    def held_apart(self) -> list[Tensor]:
        """Return the trained tensors, sharing memory with the model, that an override of `save` writes in its own form.

        An override adds to super's.
        """
        return []

    def write_description(self, folder: Path) -> None:
        """Write which method, settings, streams and version of transformers a saved adapter is of."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._description(), indent=2)
        (folder / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")

    def check_description(self, folder: Path) -> None:
        """Check that a saved adapter is of this method, with these settings, on these streams.

        Raises:
            BenchError: it is not.
        """
        path = folder / _DESCRIPTION
        try:
            saved = read_json(path, MEBIBYTE)
            if not isinstance(saved, dict):
                raise ValueError("it holds no table")
        except (OSError, ValueError) as error:
            raise BenchError(f"cannot read the saved adapter's {path}: {error}") from error
        here = self._description()
        for key in ("method", "settings", "streams"):
            if saved.get(key) != here[key]:
                raise BenchError(
                    f"{folder} was saved with {key} {saved.get(key)} (transformers {saved.get('transformers')}), "
                    f"but here it is {here[key]}"
                )

    def _description(self) -> dict[str, Any]:
        import transformers

        streams = {
            name: {"family": stream.encoder.config.model_type, "width": stream.width, "depth": stream.depth}
            for name, stream in self.model.streams.items()
        }
        return {
            "method": type(self).__name__,
            "settings": json.loads(json.dumps(self.to_config())),  # as the file gives them back: lists for tuples
            "streams": streams,
            # The names of the encoders' linears, and so of the saved weights, depend on it.
            "transformers": transformers.__version__,
        }

    def _own(self) -> dict[str, Tensor]:
        """Return the trained tensors that are not held apart, by name."""
        apart: dict[int, dict[int, int]] = defaultdict(dict)  # by their memory: where each begins, and its size
        for tensor in self.held_apart():
            apart[tensor.untyped_storage().data_ptr()][tensor.data_ptr()] = tensor.numel()

        def is_apart(tensor: Tensor) -> bool:
            places = apart[tensor.untyped_storage().data_ptr()].items()
            within = range(tensor.data_ptr(), tensor.data_ptr() + max(1, tensor.nbytes))
            return sum(size for place, size in places if place in within) == tensor.numel()

        return {name: tensor for name, tensor in trained_tensors(self.model).items() if not is_apart(tensor)}


def trained_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return what training changes of a module, by name, each tensor once: trained parameters, and `kept_buffers`."""
    parameters = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    return {**parameters, **kept_buffers(module)}


def kept_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that belong to a module's `state_dict`, by name, such as the running means of a batch norm.

    The encoders have none, so these are a method's or a head's.
    """
    state = module.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in module.named_buffers() if name in state}


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file, also of tensors that share memory or lie scattered in it."""
    from safetensors.torch import save_file

    written: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        written[name] = tensor.detach().clone() if place in memory else tensor.detach()
        written[name] = written[name].contiguous()
        memory.add(place)
    save_file(written, path)
    use_default_permissions(path)


def read_tensors(path: Path, what: str = "the saved adapter's") -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; `what` is it, for the message.

    Raises:
        BenchError: it is not there or cannot be read.
    """
    from safetensors.torch import load, load_file

    try:
        check_header(path)
        is_utf8 = os.fsencode(path).decode(errors="ignore") == str(path)
        return load_file(path) if is_utf8 else load(path.read_bytes())  # it takes no other name
    except Exception as error:  # safetensors has an exception of its own for each way a file can be broken
        raise BenchError(f"cannot read {what} {path}: {wording(error)}") from error


def check_tensors(saved: dict[str, Tensor], expected: dict[str, Tensor], folder: Path) -> None:
    """Check that saved tensors have the names and shapes of those that they are to replace.

    Raises:
        BenchError: they have not; names the first that differs.
    """
    for name in sorted(saved.keys() | expected.keys()):
        if name not in saved:
            raise BenchError(f"{folder} does not hold {name}")
        if name not in expected:
            raise BenchError(f"{folder} holds {name}, which the model does not have")
        if saved[name].shape != expected[name].shape:
            raise BenchError(
                f"{name} in {folder} has shape {tuple(saved[name].shape)}, not {tuple(expected[name].shape)}"
            )
