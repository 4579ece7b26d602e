"""What is made sure of a folder that is said to hold an encoder, before transformers acts on what its files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import MEBIBYTE, read_json

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_LARGEST = 64 * MEBIBYTE  # bytes of a JSON file
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
    config = _table(folder / CONFIG)
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
        names = _table(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not all(_lies_within(name) for name in names.values()):
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


def _table(path: Path) -> Mapping[str, Any]:
    try:
        document = read_json(path, _LARGEST)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is no table")
    return document


def _lies_within(name: object) -> bool:
    """Whether it is the name of a file, and no path that leads elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and len(name) < 256 and not {*name} & {*"/\\:\0"}
