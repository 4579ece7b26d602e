"""The files that an encoder is read from, by family, and what is wrong with those in a folder.

This module needs no heavy import: it is used while a command is planned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bench.errors import BenchError, wording
from bench.files import MEBIBYTE, check_file, read_json
from bench.streams.checks import CONFIG, INDEX, check_folder, is_file_name
from bench.streams.families import EncoderFamily, family

PREPROCESSOR = "preprocessor_config.json"
_PROCESSOR = "processor_config.json"  # of encoders with a processor of several parts, by versions of transformers
WEIGHTS = "model.safetensors"

_SAVED_BY = {"images": "AutoImageProcessor", "sounds": "AutoFeatureExtractor", "text": "AutoTokenizer"}
_MAX_CONFIG_BYTES = 64 * MEBIBYTE
_MAX_HEADER_BYTES = 8 * MEBIBYTE  # longer ones are left unchecked, though safetensors would read them
_QUANTIZED = {"I8", "U8", "I16", "U16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4"}
_UNSUPPORTED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")


@dataclass(frozen=True)
class Fault:
    """A file that an encoder needs and that is missing or damaged.

    Attributes:
        message: Which file, and what is wrong with it.
        files: Names or patterns of the files whose download repairs it.
        damaged: Whether a file of that name exists, which a download would mistake for a complete one.
        saved_by: The class of transformers that saves the files of a processor or a tokenizer.
    """

    message: str
    files: tuple[str, ...] = ()
    damaged: bool = False
    saved_by: str = ""


def faults(folder: Path, *, weights: bool, tokenizer: bool, kind: str | None = None) -> list[Fault]:
    """Return what is wrong with the files in an encoder's folder that its family is read from.

    Args:
        folder: A folder as `save_pretrained` writes it.
        weights: Whether weights are needed.
        tokenizer: Whether the tokenizer of a text encoder is needed.
        kind: The kind of input. If an encoder has several kinds, the processor and the tokenizer are not checked
            without it.

    Raises:
        ValueError: The configuration is broken, or its family is unknown; says what is wrong.
    """
    problems = [*_absent(folder, CONFIG)]
    unreadable: OSError | None = None
    if not problems:
        try:
            check_folder(folder)
        except OSError as error:  # such as a broken link: the checks below describe it better
            unreadable = error
        towers = _family(folder).towers
        if len(towers) > 1:
            towers = tuple(tower for tower in towers if tower.kind == kind)
        for tower in towers:
            if tower.kind != "text":
                problems += _processor(folder, tower.kind)
            elif tokenizer:
                problems += _tokenizer(folder, tower.vocabulary)
    problems += _weights(folder) if weights else ()
    if unreadable and not problems:
        raise ValueError(wording(unreadable))
    return problems


def _family(folder: Path) -> EncoderFamily:
    """Return the family of the encoder in a folder.

    Raises:
        ValueError: The configuration cannot be read, or its family is unknown.
    """
    try:
        config = read_json(folder / CONFIG, _MAX_CONFIG_BYTES)
    except OSError as error:
        raise ValueError(wording(error)) from error
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(model_type, str):
        raise ValueError(f"{CONFIG} has no model_type, which names the family of the encoder")
    try:
        return family(model_type)
    except BenchError as error:
        raise ValueError(wording(error)) from error


def input_kinds(folder: Path) -> tuple[str, ...]:
    """Return the kinds of input of the encoder in a folder without faults: several for one such as CLIP's."""
    return _family(folder).kinds


def affects_output(name: str, kinds: Collection[str]) -> bool:
    """Return whether a file in the folder of an encoder of these kinds of input can affect its output."""
    return "text" in kinds or any(
        fnmatchcase(name, pattern) for pattern in (CONFIG, PREPROCESSOR, _PROCESSOR, "model*.safetensors*")
    )


def _absent(folder: Path, name: str, about: str = "") -> Iterator[Fault]:
    """Yield a fault if a file is missing or cannot be read."""
    path = folder / name
    if not os.path.lexists(path):
        yield Fault(f"{name} is missing{about}", (name,))
    elif not os.path.exists(path):  # noqa: PTH110 - Path.exists raises in a folder without permission
        yield Fault(f"{name} is a broken link", (name,))
    elif not path.is_file():
        yield Fault(f"{name} is not a regular file")
    elif not os.access(path, os.R_OK):
        yield Fault(f"{name} cannot be read: permission denied")


def _processor(folder: Path, kind: str) -> Iterator[Fault]:
    if not os.path.lexists(folder / PREPROCESSOR) and _part(folder, kind):
        return
    for fault in _absent(folder, PREPROCESSOR, f" (`{_SAVED_BY[kind]}` saves it)"):
        yield replace(fault, saved_by=_SAVED_BY[kind] if fault.files else "")


def read_processor(folder: Path, kind: str) -> Mapping[str, Any]:
    """Return the configuration of the processor of images or sounds in an encoder's folder.

    It is the file `preprocessor_config.json`, or a part of the `processor_config.json` that processors of several parts
    have.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a JSON object.
    """
    if not os.path.lexists(folder / PREPROCESSOR) and (part := _part(folder, kind)):
        return part
    values = read_json(folder / PREPROCESSOR, MEBIBYTE)
    if not isinstance(values, dict):
        raise ValueError(f"{PREPROCESSOR} must be a JSON object")
    return values


def _part(folder: Path, kind: str) -> Mapping[str, Any]:
    """Return the part of a `processor_config.json` for images or sounds; {} if there is none."""
    try:
        values = read_json(folder / _PROCESSOR, MEBIBYTE)
    except (OSError, ValueError):
        return {}
    part = values.get({"images": "image_processor", "sounds": "feature_extractor"}[kind], {})
    return part if isinstance(part, dict) else {}


def _tokenizer(folder: Path, vocabulary: Sequence[str]) -> Iterator[Fault]:
    whole = "tokenizer.json"
    if not [*_absent(folder, whole)] or (vocabulary and not any([*_absent(folder, name)] for name in vocabulary)):
        return
    if os.path.lexists(folder / whole):
        yield from _absent(folder, whole)
        return
    names = f"{whole} or {' and '.join(vocabulary)}" if vocabulary else whole
    patterns = (whole, "tokenizer_config.json", "special_tokens_map.json", *vocabulary)
    yield Fault(
        f"{names} is missing (the tokenizer: `{_SAVED_BY['text']}` saves it)", patterns, saved_by=_SAVED_BY["text"]
    )


def _weights(folder: Path) -> Iterator[Fault]:
    """Yield what is wrong with the weights.

    Like transformers, prefer a single file over an index of several.
    """
    if os.path.lexists(folder / WEIGHTS):
        yield from _unsound(folder, WEIGHTS)
        return
    if os.path.lexists(folder / INDEX):
        if absent := [*_absent(folder, INDEX)]:
            yield from absent
            return
        for name in sorted(set(_weight_map(folder / INDEX).values())):
            yield from _unsound(folder, name)
        return
    if any(folder.glob("model-*-of-*.safetensors")):
        yield Fault(f"{INDEX} is missing, which lists the parts of the weights", (INDEX,))
        return
    unsupported = [name for name in _UNSUPPORTED if os.path.lexists(folder / name)]
    about = (
        f" ({unsupported[0]} is not read, since such files may contain code: save safetensors)" if unsupported else ""
    )
    yield Fault(f"{WEIGHTS} is missing{about}", ("model*.safetensors", INDEX))


def _weight_map(index: Path) -> Mapping[str, str]:
    """Return the file of each tensor in an index, within its folder only; `check_folder` refuses other indexes."""
    try:
        names = read_json(index, _MAX_CONFIG_BYTES)["weight_map"].items()
        return {tensor: name for tensor, name in names if is_file_name(name)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _unsound(folder: Path, name: str) -> Iterator[Fault]:
    """Yield what is wrong with a safetensors file, as far as its header and size show."""
    if absent := [*_absent(folder, name)]:
        yield from absent
        return
    try:
        header, problem = _header(folder / name)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        header, problem = {}, "not a readable safetensors file"
    if problem:
        yield Fault(f"{name} is {problem}", (name,), damaged=True)
    elif dtypes := {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} & _QUANTIZED:
        yield Fault(f"{name} contains quantized weights ({', '.join(sorted(dtypes))}), which streams do not support")


def _header(path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the header of a safetensors file and what is wrong with the file, "" if nothing.

    The header is {} if it is too long to be checked.

    Raises:
        OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError: It is not a safetensors file.
    """
    size = check_file(path, 2**63)
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start == b"version " and b"git-lfs" in file.read(128):
            return {}, "only a Git LFS pointer to the file: fetch it with `git lfs pull`"
        if 8 + length > size:
            return {}, f"truncated, or not a safetensors file: it has {size:,} bytes"
        if length > _MAX_HEADER_BYTES:
            return {}, ""
        file.seek(8)
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__" and entry["dtype"]]
    if not all(isinstance(end, int) for end in ends):
        raise ValueError("the end of a tensor is not an integer")
    expected = 8 + length + max(ends, default=0)
    return header, f"truncated: it has {size:,} of {expected:,} bytes" if size < expected else ""
