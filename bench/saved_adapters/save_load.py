"""A saved adapter: a folder with the adapters of every stream, the head, the record, and a card that tells of them.

README.md              the card
record.json            the record: specification, scores, environment
method.json            the method, its settings, the streams' families and widths
head.safetensors       the task's head
<stream>/              PEFT's form, where the method is one of PEFT's
inter_modal/           the same form, where the method has an inter-modal path
adapter.safetensors    what was trained and lies in none of these folders, by its name in the model
manifest.json          checksums of all these files but the card; names and checksums of the encoders
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

from bench.config.instantiate import method_of
from bench.config.spec import Spec
from bench.errors import BenchError
from bench.files import Guard, atomic_folder
from bench.methods.base import Method, check_tensors, read_tensors, write_tensors
from bench.records import schema, store
from bench.records.specification import specification
from bench.saved_adapters.encoders import check_same, locate
from bench.saved_adapters.manifest import CARD, Encoder, encoders_of, read_manifest, write_manifest
from bench.saved_adapters.model_card import card
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream
from bench.tasks.model import TaskModel

FOLDER = "adapters"
RECORD = "record.json"
_HEAD = "head.safetensors"
_ROUNDING = 1e-5  # of the largest value of a frozen weight in float32
_NAMED = 3  # tensors that a message names


def save(folder: Path, record: schema.Record, model: TaskModel, method: Method, guard: Guard = nullcontext) -> None:
    """Write a trained adapter, whole or not at all, in place of an earlier one.

    What was written is loaded into streams of their own, to see that it makes the same model.

    Args:
        folder: where to.
        record: of the run that trained it.
        model: with the method attached, not merged.
        method: the method.
        guard: as for `bench.files.atomic_folder`.

    Raises:
        OSError: it cannot be written.
        BenchError: what the method writes does not make the same model again; names what differs.
    """
    models = {name: source["model"] for name, source in record.spec.streams.items()}
    encoders = encoders_of(models)
    with atomic_folder(folder, replace=True, guard=guard) as scratch:
        method.save(scratch)
        write_tensors(model.head.state_dict(), scratch / _HEAD)
        (scratch / RECORD).write_text(schema.dumps(_without_paths(record, encoders)), encoding="utf-8")
        write_manifest(scratch, encoders)
        (scratch / CARD).write_text(card(record, scratch, encoders), encoding="utf-8")
        _check_whole(scratch, model.streams, method, models)


def _without_paths(record: schema.Record, encoders: Mapping[str, Encoder]) -> schema.Record:
    """The record with encoders by their ids on the hub, where these are known, in place of where they lie here."""
    streams = {
        name: {**source, "model": encoders[name].name} if encoders[name].on_hub else source
        for name, source in record.spec.streams.items()
    }
    return replace(record, spec=replace(record.spec, streams=streams))


def open_adapter(
    folder: Path, encoders: Mapping[str, str | Path] | None = None, *, other_encoders: bool = False
) -> tuple[schema.Record, Spec]:
    """The record of the run that trained a saved adapter, and its specification with the encoders as they lie here.

    Args:
        folder: of the saved adapter.
        encoders: where encoders lie, by stream; others lie where the record says, or in the Hugging Face cache.
        other_encoders: whether they may be others than those that it was trained on.

    Raises:
        BenchError: the folder holds no saved adapter, or one that was changed since.
        UsageError: an encoder is not there, or is not the one that it was trained on.
    """
    path = folder / RECORD
    if not path.is_file():
        raise BenchError(f"{folder} holds no saved adapter: there is no {path}; `bench run --save-adapters` makes them")
    manifest = read_manifest(folder)
    record = store.read(path)
    spec = specification(record, path)
    streams = locate(spec.streams, encoders or {}, manifest.encoders if manifest else {})
    if not other_encoders:
        check_same({name: source["model"] for name, source in streams.items()}, manifest, record.provenance)
    return record, replace(spec, streams=streams)


def load(folder: Path, model: TaskModel, method: Method) -> None:
    """Read a saved adapter and its head into a model that the method is attached to.

    Raises:
        BenchError: they are missing, broken, or not those of this model, which is then left as it was.
    """
    with _all_set(model, folder):
        method.load(folder)
        path = folder / _HEAD
        saved = read_tensors(path, "the saved head")
        here = model.head.state_dict()
        check_tensors(saved, here, path)
        with torch.no_grad():
            for name, tensor in here.items():
                tensor.copy_(saved[name])


def load_adapter(
    folder: str | Path, encoders: Mapping[str, str | Path] | None = None, *, other_encoders: bool = False
) -> MultiStream:
    """Return the streams of a saved adapter with its adapters in place, without the head, in evaluation mode.

    Args:
        folder: as `bench run --save-adapters` writes it.
        encoders: where encoders lie, by stream; others lie where the record says, or in the Hugging Face cache.
        other_encoders: take encoders that are not those that it was trained on.

    Returns:
        A module: normalized inputs by the name of the stream in, tokens (B, T, D) by the name of the stream out.

    Raises:
        BenchError: the folder holds no saved adapter, or one that is broken, or an encoder cannot be loaded.
        UsageError: its method is not installed, or an encoder is not there, or is not the one it was trained on.
    """
    folder = Path(folder)
    _, spec = open_adapter(folder, encoders, other_encoders=other_encoders)
    model = MultiStream({name: load_stream(**source) for name, source in spec.streams.items()})
    method = method_of(spec)
    with _drawing_as_trained(spec.seed):
        method.attach(model)
    with _all_set(model, folder):
        method.load(folder)
    return model.eval()


@contextmanager
def _drawing_as_trained(seed: int) -> Iterator[None]:
    """Draw as `bench.training.setup.build_model` does: some methods draw what they neither train nor save."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            set_seed(seed)
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


@contextmanager
def _all_set(model: nn.Module, folder: Path) -> Iterator[None]:
    """Check that every trained parameter is set by what is done within; where not, none is."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    try:
        with torch.no_grad():
            for parameter in trained.values():
                parameter.fill_(torch.nan)
        yield
        if lacking := [name for name, parameter in trained.items() if parameter.isnan().any()]:
            raise BenchError(f"{folder} does not hold all that was trained, or holds NaN: {_some(lacking)}")
    except BaseException:
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(before[name])
        raise


def _check_whole(folder: Path, streams: MultiStream, method: Method, models: Mapping[str, str]) -> None:
    """Check that a saved adapter, loaded as anybody would, makes the streams that were trained.

    All parameters and buffers are compared, since a method may change what is not trainable now, or not at all.

    Raises:
        BenchError: it does not.
    """
    by = f"what {type(method).__name__}.save writes"
    try:
        again = _everything(load_adapter(folder, models))
    except BenchError as error:
        raise BenchError(f"{by} cannot be loaded: {error}") from error
    differing = [
        name for name, tensor in _everything(streams).items() if name not in again or not _same(again[name], tensor)
    ]
    if differing:
        raise BenchError(
            f"{by} does not make the trained model again: {_some(differing)} would not be the same; Method.save writes "
            "every trained parameter, and what attach draws it must draw the same with the same seed"
        )


def _same(loaded: Tensor, trained: Tensor) -> bool:
    """Return whether a tensor is as it was: to the bit, but for a frozen weight to rounding.

    A frozen weight may have been put into a smaller type, or have had a part taken out by a random decomposition, as
    PiSSA's fast one is.
    """
    loaded = loaded.to(trained.device, trained.dtype)
    if torch.equal(loaded, trained):
        return True
    frozen = isinstance(trained, nn.Parameter) and not trained.requires_grad and loaded.shape == trained.shape
    largest = trained.abs().max() if frozen and trained.numel() else 0
    return bool(frozen and (loaded - trained).abs().max() <= _ROUNDING * largest)


def _everything(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
