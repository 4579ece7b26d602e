"""What is made sure of a folder that is said to hold an encoder, before transformers acts on what its files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import MEBIBYTE, check_file, read_json
from bench.system.tensor_files import check_header

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_LARGEST = 16 * MEBIBYTE  # bytes of a file of text, as a tokenizer's; those of the known families have less than 4
_LARGEST_CONFIG = MEBIBYTE  # bytes; they have some thousand
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")
_MOST_BLOCKS = 1_000
_ATTENTION = (None, "eager", "sdpa")
"""Kinds of attention that need nothing else. Others are packages, or code on the hub, which transformers fetches."""


def check_folder(folder: Path) -> None:
    """Refuses what would make transformers read or run something other than the encoder in the folder.

    Raises:
        OSError: a file cannot be read.
        ValueError: says which file holds what it must not.
    """
    if (folder / _ADAPTER).exists():  # it names a base model, which would be loaded in place of this one
        raise ValueError(f"it holds {_ADAPTER}: an adapter of PEFT is no encoder")
    for pattern in _TEXTS:
        for path in folder.glob(pattern):
            _check_text(path)
    for path in folder.glob("*.safetensors"):
        check_header(path)
    config = _table(folder / CONFIG, _LARGEST_CONFIG)
    attention = [config.get(name) for name in ("attn_implementation", "_attn_implementation")]
    if any(each not in _ATTENTION for each in attention):
        raise ValueError(f"{CONFIG} asks for another attention than {' and '.join(filter(None, _ATTENTION))}")
    for name in ("quantization_config", "configuration_files"):
        if config.get(name) is not None:
            raise ValueError(f"{CONFIG} has {name}, which no stream can use")
    depths = config.get("depths")
    for blocks in (config.get("num_hidden_layers"), *(depths if isinstance(depths, list) else ())):
        if isinstance(blocks, int | float) and not blocks <= _MOST_BLOCKS:
            raise ValueError(f"{CONFIG} asks for more than {_MOST_BLOCKS} blocks")
    if (folder / INDEX).exists():
        names = _table(folder / INDEX, _LARGEST).get("weight_map")
        if not isinstance(names, dict) or not all(lies_within(name) for name in names.values()):
            raise ValueError(f"{INDEX} has no weight_map of names of files in the folder")


def check_size(parameters: int, folder: Path) -> None:
    """Refuses a configuration of more parameters than the weights can hold: room would be made for all of them.

    Args:
        parameters: that the configuration comes to.
        folder: of the encoder.

    Raises:
        ValueError: there are more than the files have bytes.
    """
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if parameters > size:
        raise ValueError(f"{CONFIG} asks for {parameters:,} parameters, but the weights have {size:,} bytes only")


def _check_text(path: Path) -> None:
    """Refuse a pipe or a device, which transformers would wait for, and what would take too much memory."""
    if not path.exists() or path.is_dir():
        return
    try:
        check_file(path, _LARGEST)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _table(path: Path, most: int) -> Mapping[str, Any]:
    try:
        document = read_json(path, most)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is no table")
    return document


def lies_within(name: object) -> bool:
    """Return whether it is the name of a file, and no path that leads elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and len(name) < 256 and not {*name} & {*"/\\:\0"}
