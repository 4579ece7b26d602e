"""A saved adapter: a folder with the adapters of every stream, the head, the record, and a card that tells of them.

README.md              the card
record.json            the record: specification, scores, environment
method.json            the method, its settings, the streams' families and widths
head.safetensors       the task's head
<stream>/              PEFT's form, where the method is one of PEFT's
inter_modal/           the same form, where the method has an inter-modal path
adapter.safetensors    what was trained, by its name in the model, where the method is none of PEFT's
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from bench import records, registry, schema, settings
from bench.again import specification
from bench.card import card
from bench.errors import BenchError
from bench.methods.base import Method, check_tensors, read_tensors
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream
from bench.tasks.model import TaskModel

FOLDER = "adapters"
RECORD = "record.json"
_HEAD = "head.safetensors"


def save(folder: Path, record: schema.Record, model: TaskModel, method: Method) -> None:
    """Writes a trained adapter, whole or not at all, in place of an earlier one.

    Args:
        folder: where to.
        record: of the run that trained it.
        model: with the method attached, not merged.
        method: the method.

    Raises:
        OSError: it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        method.save(scratch)
        save_file(_tensors(model.head), scratch / _HEAD)
        (scratch / RECORD).write_text(schema.dumps(record), encoding="utf-8")
        (scratch / "README.md").write_text(card(record, scratch), encoding="utf-8")
        scratch.chmod(0o755)  # mkdtemp's folders are for their owner only
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_record(folder: Path) -> schema.Record:
    """The record of the run that trained a saved adapter.

    Raises:
        BenchError: the folder holds no saved adapter.
    """
    path = folder / RECORD
    if not path.is_file():
        raise BenchError(f"{folder} holds no saved adapter: there is no {path}; `bench run --save-adapters` makes them")
    return records.read(path)


def load(folder: Path, model: TaskModel, method: Method) -> None:
    """Reads a saved adapter and its head into a model that the method is attached to.

    Raises:
        BenchError: they are missing, broken, or not those of this model.
    """
    method.load(folder)
    path = folder / _HEAD
    saved = read_tensors(path, "the saved head")
    here = _tensors(model.head)
    check_tensors(saved, here, path)
    with torch.no_grad():
        for name, tensor in here.items():
            tensor.copy_(saved[name])


def load_adapter(folder: str | Path) -> MultiStream:
    """The streams of a saved adapter with its adapters in place, without the head, in evaluation mode.

    Args:
        folder: as `bench run --save-adapters` writes it; the encoders are loaded from where its record says.

    Returns:
        A module: normalised inputs by the name of the stream in, tokens (B, T, D) by the name of the stream out.

    Raises:
        BenchError: the folder holds no saved adapter, or one that is broken, or an encoder cannot be loaded.
        UsageError: its method is not installed.
    """
    folder = Path(folder)
    spec = specification(read_record(folder), folder / RECORD)
    model = MultiStream({name: load_stream(**source) for name, source in spec.streams.items()})
    method: Method = settings.build(registry.load("methods", spec.method), spec.settings, spec.method)
    # Some methods draw at random what they do not train, and do not save it.
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        method.attach(model)
    method.load(folder)
    return model.eval()


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
