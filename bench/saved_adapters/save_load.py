"""A saved adapter: a folder with the adapters of every stream, the head, the record and a model card.

README.md              the model card
record.json            the record: specification, scores, environment
method.json            the method, its settings, the streams' families and widths
head.safetensors       the task's head
<stream>/              the stream's adapters in PEFT's format, if the method is one of PEFT's
inter_modal/           the inter-modal adapters in the same format, if the method has them
adapter.safetensors    trained parameters that are in none of these folders, by their names in the model
manifest.json          checksums of all these files except the card; names and checksums of the encoders
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from bench.config.instantiate import method_of, sources_of
from bench.errors import BenchError
from bench.files import Guard, atomic_folder
from bench.methods.base import Method, check_tensors, read_tensors, write_tensors
from bench.records import schema
from bench.saved_adapters.manifest import CARD, Encoder, encoders_of, write_manifest
from bench.saved_adapters.model_card import card
from bench.saved_adapters.opening import RECORD, open_adapter
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream
from bench.tasks.model import TaskModel

FOLDER = "adapters"
_HEAD = "head.safetensors"
_ROUNDING = 1e-5  # relative to the largest value of a frozen weight in float32
_MAX_LISTED = 3  # tensors that a message lists


def save(folder: Path, record: schema.Record, model: TaskModel, method: Method, guard: Guard = nullcontext) -> None:
    """Write a trained adapter, completely or not at all, replacing an earlier one.

    The written files are loaded into new streams, to check that they restore the same model.

    Args:
        folder: The folder to write.
        record: The record of the run that trained the adapter.
        model: The model with the method attached, not merged.
        method: The method.
        guard: As for `bench.files.atomic_folder`.

    Raises:
        OSError: The folder cannot be written.
        BenchError: The files that the method wrote do not restore the same model. The message lists what differs.
    """
    models = {name: source["model"] for name, source in record.spec.streams.items()}
    encoders = encoders_of(models)
    with atomic_folder(folder, replace=True, guard=guard) as scratch:
        method.save(scratch)
        write_tensors(model.head.state_dict(), scratch / _HEAD)
        (scratch / RECORD).write_text(schema.dumps(_without_paths(record, encoders)), encoding="utf-8")
        write_manifest(scratch, encoders)
        (scratch / CARD).write_text(card(record, scratch, encoders), encoding="utf-8")
        _check_restored(scratch, model.streams, method, models)


def _without_paths(record: schema.Record, encoders: Mapping[str, Encoder]) -> schema.Record:
    """Return the record with encoders named by their ids on the hub, if these are known, not by local paths."""
    streams = {
        name: {**source, "model": encoders[name].name} if encoders[name].on_hub else source
        for name, source in record.spec.streams.items()
    }
    return replace(record, spec=replace(record.spec, streams=streams))


def load(folder: Path, model: TaskModel, method: Method) -> None:
    """Read a saved adapter and its head into a model that the method is attached to.

    Raises:
        BenchError: Files are missing, broken, or of another model. The model is then unchanged.
    """
    with _all_loaded(model, folder):
        method.load(folder)
        path = folder / _HEAD
        saved = read_tensors(path, "the saved head")
        state = model.head.state_dict()
        check_tensors(saved, state, path)
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(saved[name])


def load_adapter(
    folder: str | Path, encoders: Mapping[str, str | Path] | None = None, *, other_encoders: bool = False
) -> MultiStream:
    """Return the streams of a saved adapter, with its adapters attached, without the head, in evaluation mode.

    Args:
        folder: A folder that `bench run --save-adapters` wrote.
        encoders: Folders of encoders, by stream; others are those of the record, or of the Hugging Face cache.
        other_encoders: Whether to accept encoders that the adapter was not trained on.

    Returns:
        A module that maps normalized inputs by stream to tokens (B, T, D) by stream.

    Raises:
        BenchError: The folder contains no saved adapter, or a broken one, or an encoder cannot be loaded.
        UsageError: The method is not installed, or an encoder does not exist, or is not the one that the adapter was
            trained on.
    """
    folder = Path(folder)
    _, spec = open_adapter(folder, encoders, other_encoders=other_encoders)
    model = MultiStream({name: load_stream(**source) for name, source in sources_of(spec).items()})
    method = method_of(spec)
    with _training_seed(spec.seed):
        method.attach(model)
    with _all_loaded(model, folder):
        method.load(folder)
    return model.eval()


@contextmanager
def _training_seed(seed: int) -> Iterator[None]:
    """Seed as `bench.training.setup.build_model` does: some methods have random parts that are not saved."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            set_seed(seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def _all_loaded(model: nn.Module, folder: Path) -> Iterator[None]:
    """Check that the block sets every trained parameter; if not, or if it fails, restore all of them."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    original = {name: parameter.detach().clone() for name, parameter in trained.items()}
    try:
        with torch.no_grad():
            for parameter in trained.values():
                parameter.fill_(torch.nan)
        yield
        if missing := [name for name, parameter in trained.items() if parameter.isnan().any()]:
            raise BenchError(f"{folder} lacks trained parameters, or has NaN in them: {_shortened(missing)}")
    except BaseException:
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(original[name])
        raise


def _check_restored(folder: Path, streams: MultiStream, method: Method, models: Mapping[str, str]) -> None:
    """Check that loading a saved adapter restores the streams that were trained.

    All parameters and buffers are compared, since a method may also change some that are not, or no longer, trainable.

    Raises:
        BenchError: The adapter cannot be loaded, or the streams differ.
    """
    written = f"what {type(method).__name__}.save writes"
    try:
        restored = _state(load_adapter(folder, models))
    except BenchError as error:
        raise BenchError(f"{written} cannot be loaded: {error}") from error
    differing = [
        name for name, tensor in _state(streams).items() if name not in restored or not _equal(restored[name], tensor)
    ]
    if differing:
        raise BenchError(
            f"{written} does not restore the trained model: {_shortened(differing)} would differ; Method.save must "
            "write every trained parameter, and with the same seed, attach must draw the same values"
        )


def _equal(loaded: Tensor, trained: Tensor) -> bool:
    """Return whether a tensor was restored: exactly, or up to rounding for a frozen weight.

    A frozen weight may have been cast to a smaller type, or may lack a part that a randomized decomposition took out,
    as PiSSA's fast one does.
    """
    loaded = loaded.to(trained.device, trained.dtype)
    if torch.equal(loaded, trained):
        return True
    frozen = isinstance(trained, nn.Parameter) and not trained.requires_grad and loaded.shape == trained.shape
    scale = trained.abs().max() if frozen and trained.numel() else 0
    return bool(frozen and (loaded - trained).abs().max() <= _ROUNDING * scale)


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _shortened(names: Sequence[str]) -> str:
    remaining = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {remaining} more" if remaining > 0 else "")
