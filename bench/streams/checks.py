"""Checks of the files of an encoder before transformers acts on what they contain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import MEBIBYTE, check_file, read_json
from bench.system.tensor_files import check_header

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_MAX_TEXT_BYTES = 16 * MEBIBYTE  # of a text file such as a tokenizer; those of known families have less than 4 MiB
_MAX_CONFIG_BYTES = MEBIBYTE  # known ones have a few thousand bytes
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")
_MAX_BLOCKS = 1_000
_ATTENTION = (None, "eager", "sdpa")
"""Attention implementations within torch. Others are packages, or code on the hub that transformers would fetch."""


def check_folder(folder: Path) -> None:
    """Check that the files of a folder make transformers load the encoder in it and nothing else.

    Args:
        folder: A folder as `save_pretrained` writes it.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file has forbidden content; names the file and the content.
    """
    if (folder / _ADAPTER).exists():  # it names a base model, which transformers would load instead
        raise ValueError(f"it contains {_ADAPTER}: it is a PEFT adapter, not an encoder")
    for pattern in _TEXTS:
        for path in folder.glob(pattern):
            _check_text(path)
    for path in folder.glob("*.safetensors"):
        check_header(path)
    config = _table(folder / CONFIG, _MAX_CONFIG_BYTES)
    attention = [config.get(name) for name in ("attn_implementation", "_attn_implementation")]
    if any(kind not in _ATTENTION for kind in attention):
        raise ValueError(
            f"{CONFIG} sets an attention implementation other than {' and '.join(filter(None, _ATTENTION))}"
        )
    for name in ("quantization_config", "configuration_files"):
        if config.get(name) is not None:
            raise ValueError(f"{CONFIG} has {name}, which streams do not support")
    depths = config.get("depths")
    for blocks in (config.get("num_hidden_layers"), *(depths if isinstance(depths, list) else ())):
        if isinstance(blocks, int | float) and not blocks <= _MAX_BLOCKS:
            raise ValueError(f"{CONFIG} has more than {_MAX_BLOCKS} blocks")
    if (folder / INDEX).exists():
        names = _table(folder / INDEX, _MAX_TEXT_BYTES).get("weight_map")
        if not isinstance(names, dict) or not all(is_file_name(name) for name in names.values()):
            raise ValueError(f"{INDEX} has no weight_map that names files in its folder")


def check_size(parameters: int, folder: Path) -> None:
    """Check that a configuration has no more parameters than its weights can contain.

    Memory for all parameters would be allocated before the weights are read.

    Args:
        parameters: Number of parameters of the configuration.
        folder: Folder of the encoder.

    Raises:
        ValueError: There are more parameters than the weight files have bytes.
    """
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if parameters > size:
        raise ValueError(f"{CONFIG} describes {parameters:,} parameters, but the weights have only {size:,} bytes")


def _check_text(path: Path) -> None:
    """Raise ValueError for a pipe or device, which transformers would wait for, or a file that is too large."""
    if not path.exists() or path.is_dir():
        return
    try:
        check_file(path, _MAX_TEXT_BYTES)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _table(path: Path, max_bytes: int) -> Mapping[str, Any]:
    try:
        document = read_json(path, max_bytes)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} must be a JSON object")
    return document


def is_file_name(name: object) -> bool:
    """Return whether a value is the name of a file, without any folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and len(name) < 256 and not {*name} & {*"/\\:\0"}
