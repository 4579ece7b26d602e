"""The base class of methods: a method makes a multi-stream model trainable."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError, did_you_mean, wording
from bench.files import MEBIBYTE, read_json, use_default_permissions
from bench.methods.search_space import Range, Space
from bench.system.tensor_files import check_header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.streams.lockstep import MultiStream

_DESCRIPTION = "method.json"
_WEIGHTS = "adapter.safetensors"


@dataclass(frozen=True)
class ParameterGroup:
    """Trained parameters with a learning rate or a weight decay of their own.

    Attributes:
        names: Names of the parameters in the model.
        lr_factor: Their learning rate, as a factor of the recipe's `lr_adapter`, throughout its schedule.
        weight_decay: Their weight decay; None for the recipe's.
    """

    names: Sequence[str]
    lr_factor: float = 1.0
    weight_decay: float | None = None


@dataclass
class Method(ABC):
    """A way to make a multi-stream model trainable.

    A method is a dataclass: its fields are its settings, and `bench list methods` shows the first line of its
    docstring. It must define `attach`. The defaults of the rest serve methods whose trained parameters are part of the
    model.

    The promises below are declarations that `bench check-method` tests; a class overrides those that differ.

    Attributes:
        starts_as_frozen: Whether the attached model computes what the frozen model computes until it is trained.
        merges: Whether `merge` folds something into the encoders' weights.
        opens_in_peft: Whether what `save` writes for each stream opens with PEFT on the plain encoder and then computes
            what the stream computes by itself, without other streams.
        reads_partners: Whether streams read each other. Such a method is refused for a single stream, and in tasks that
            encode each stream alone.
    """

    starts_as_frozen: ClassVar[bool] = True
    merges: ClassVar[bool] = False
    opens_in_peft: ClassVar[bool] = False
    reads_partners: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the settings. An override begins with super's.

        Raises:
            ValueError: A setting is invalid.
        """
        return None

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check the settings against the names of the streams to adapt, before anything is loaded.

        Args:
            streams: Names of the streams.

        Raises:
            ValueError: A setting does not match these streams.
        """
        return None

    def check_model(self, model: MultiStream) -> None:
        """Check that the method can adapt these streams: that they have the blocks that settings name, for example.

        It is called before any run, on streams without weights (on torch's device "meta"), and by `attach`. Settings
        are checked where that is possible without streams: in `__post_init__` and `check_streams`.

        Args:
            model: The frozen streams, which must not be changed.

        Raises:
            BenchError: It cannot; says which stream and setting do not fit, and what to do.
        """
        return None

    @property
    def size_settings(self) -> tuple[str, ...]:
        """Integer settings from 1 that determine how many parameters are trained: the main one first, then finer ones.

        `--budget` changes them. A method without any has one size.
        """
        return ()

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return the settings, with their values, that change when a size setting takes a value."""
        return {setting: value}

    def to_config(self) -> dict[str, Any]:
        """Return the settings that identify a run, as plain values: a run's id is made from them."""
        return asdict(self)

    @property
    def search(self) -> Space:
        """The search space of `bench tune`, by the names of settings or of the recipe's learning rates.

        Ranges are relative to the suite's value. By default: a tenth to ten times the learning rate of the adapter.
        """
        return {"lr_adapter": Range()}

    @abstractmethod
    def attach(self, model: MultiStream) -> None:
        """Add the adapters to a frozen model, and make exactly the parameters trainable that the method trains.

        An override begins with `super().attach(model)`.

        Args:
            model: The model to adapt, in place.

        Raises:
            BenchError: The method cannot adapt the streams.
        """
        self.check_model(model)
        self.model = model

    def adapter_names(self, model: MultiStream) -> list[str]:
        """Return the names of the model's trainable parameters."""
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    def parameter_groups(self) -> Mapping[str, ParameterGroup]:
        """Return trained parameters with a learning rate or a weight decay of their own, by the name of their group.

        Called after `attach`, more than once. All other trained parameters have the recipe's `lr_adapter` and
        `weight_decay`. An override adds to super's.
        """
        return {}

    def active_parameters(self) -> int:
        """Return how many of the trained parameters are in use: less than all if the method masks some."""
        return sum(self.model.get_parameter(name).numel() for name in self.adapter_names(self.model))

    def before_training(self, steps: int) -> None:
        """Prepare for training.

        Args:
            steps: Number of optimizer steps to come.
        """
        return None

    def loss(self) -> Tensor | None:
        """Return a term to add to the task's loss at each step, or None."""
        return None

    def after_backward(self, step: int) -> None:
        """Act after the backward pass and the optimizer step, before gradients are cleared.

        This is not called after a step that is skipped because gradients are not finite, as happens in fp16. Anything
        due at a certain step must therefore be done at the first later step for which this is called.

        Args:
            step: Number of the step, from 0; skipped steps count too.
        """
        return None

    def training_state(self) -> dict[str, Any]:
        """Return what training changes besides parameters, as tensors and plain values, for a checkpoint."""
        return {}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Restore what `training_state` returned. Called after `before_training`."""
        return None

    def merge(self) -> bool:
        """Fold into the encoders' weights what can be folded, for faster scoring; return whether anything was.

        Merging twice has the same effect as merging once.
        """
        return False

    def unmerge(self) -> None:
        """Undo `merge`, bit for bit."""
        return None

    def save(self, folder: Path) -> None:
        """Write the trained tensors and the settings into a folder.

        Every trained tensor is written by its name, except those of `held_apart`: an override calls super's and writes
        these itself.

        Args:
            folder: Is created if missing.
        """
        self.write_description(folder)
        if tensors := self._own_tensors():
            write_tensors(tensors, folder / _WEIGHTS)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote into the attached model.

        Raises:
            BenchError: The adapter was saved with other settings or from other streams, or is incomplete.
        """
        import torch

        self.check_description(folder)
        tensors, path = self._own_tensors(), folder / _WEIGHTS
        if not tensors and not path.exists():
            return
        saved = read_tensors(path)
        check_tensors(saved, tensors, folder)
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(saved[name])

    def held_apart(self) -> list[Tensor]:
        """Return the trained tensors, sharing memory with the model, that an override of `save` writes in its own form.

        An override adds to super's.
        """
        return []

    def write_description(self, folder: Path) -> None:
        """Write the method, settings, streams and version of transformers of a saved adapter into its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._description(), indent=2)
        (folder / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")

    def check_description(self, folder: Path) -> None:
        """Check that a saved adapter is of this method, with these settings, on these streams.

        Raises:
            BenchError: It is not, or its description cannot be read.
        """
        path = folder / _DESCRIPTION
        try:
            saved = read_json(path, MEBIBYTE)
            if not isinstance(saved, dict):
                raise ValueError("it must be a JSON object")
        except (OSError, ValueError) as error:
            raise BenchError(f"cannot read the saved adapter's {path}: {error}") from error
        expected = self._description()
        for key in ("method", "settings", "streams"):
            if saved.get(key) != expected[key]:
                raise BenchError(
                    f"{folder} was saved with {key} {saved.get(key)} (transformers {saved.get('transformers')}), "
                    f"but the attached method has {expected[key]}"
                )

    def _description(self) -> dict[str, Any]:
        import transformers

        streams = {
            name: {"family": stream.encoder.config.model_type, "width": stream.width, "depth": stream.depth}
            for name, stream in self.model.streams.items()
        }
        return {
            "method": type(self).__name__,
            "settings": json.loads(json.dumps(self.to_config())),  # as JSON returns them: lists for tuples
            "streams": streams,
            # The names of the encoders' linears, and therefore of the saved weights, depend on it.
            "transformers": transformers.__version__,
        }

    def _own_tensors(self) -> dict[str, Tensor]:
        """Return the trained tensors that are not held apart, by name."""
        sizes: dict[int, dict[int, int]] = defaultdict(dict)  # elements by storage and start address
        for tensor in self.held_apart():
            sizes[tensor.untyped_storage().data_ptr()][tensor.data_ptr()] = tensor.numel()

        def is_apart(tensor: Tensor) -> bool:
            parts = sizes[tensor.untyped_storage().data_ptr()].items()
            addresses = range(tensor.data_ptr(), tensor.data_ptr() + max(1, tensor.nbytes))
            return sum(size for address, size in parts if address in addresses) == tensor.numel()

        return {name: tensor for name, tensor in trained_tensors(self.model).items() if not is_apart(tensor)}


def check_names(chosen: Sequence[str], streams: Sequence[str]) -> None:
    """Check the value of a setting `streams`, which names the streams to adapt.

    Raises:
        ValueError: One of them does not exist.
    """
    for name in chosen:
        if name not in streams:
            raise ValueError(f"streams: unknown stream {name}: {did_you_mean(name, streams)}")


def trained_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module that training changes, by name: trained parameters and `persistent_buffers`."""
    parameters = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    return {**parameters, **persistent_buffers(module)}


def persistent_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers in a module's `state_dict`, by name, such as the running means of a batch norm.

    The encoders have none, so these belong to a method or a head.
    """
    state = module.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in module.named_buffers() if name in state}


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file, even of tensors that share memory or are not contiguous."""
    from safetensors.torch import save_file

    written: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        written[name] = tensor.detach().clone() if storage in storages else tensor.detach()
        written[name] = written[name].contiguous()
        storages.add(storage)
    save_file(written, path)
    use_default_permissions(path)


def read_tensors(path: Path, owner: str = "the saved adapter's") -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Args:
        path: The file.
        owner: What the file is, for the message, such as "the saved adapter's".

    Raises:
        BenchError: The file is missing or cannot be read.
    """
    from safetensors.torch import load, load_file

    try:
        check_header(path)
        is_utf8 = os.fsencode(path).decode(errors="ignore") == str(path)
        return load_file(path) if is_utf8 else load(path.read_bytes())  # load_file supports no other names
    except Exception as error:  # safetensors has an exception of its own for each way a file can be broken
        raise BenchError(f"cannot read {owner} {path}: {wording(error)}") from error


def check_tensors(saved: dict[str, Tensor], expected: dict[str, Tensor], folder: Path) -> None:
    """Check that saved tensors have the names and shapes of the tensors that they will replace.

    Args:
        saved: The saved tensors.
        expected: The tensors of the model.
        folder: Where they were saved, for messages.

    Raises:
        BenchError: They do not; names the first difference.
    """
    for name in sorted(saved.keys() | expected.keys()):
        if name not in saved:
            raise BenchError(f"{folder} lacks {name}, which the model has")
        if name not in expected:
            raise BenchError(f"{folder} contains {name}, which the model does not have")
        if saved[name].shape != expected[name].shape:
            raise BenchError(
                f"{name} in {folder} has shape {tuple(saved[name].shape)}, not {tuple(expected[name].shape)}"
            )
