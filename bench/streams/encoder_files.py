"""Which files an encoder is read from, by its family, and what is wrong with those in a folder.

Needs no heavy import: it is asked while a command is planned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from bench.errors import wording
from bench.files import MEBIBYTE, check_file, read_json
from bench.streams.checks import CONFIG, INDEX, check_folder, lies_within

PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"

READS: dict[str, Literal["images", "sounds", "text"]] = {
    **dict.fromkeys(("vit", "dinov2", "dinov3_vit", "swinv2"), "images"),
    "audio-spectrogram-transformer": "sounds",
    **dict.fromkeys(("bert", "roberta"), "text"),
}
"""What encoders of each family read, by `model_type` of their configuration; `bench.streams.load` has the classes."""

_VOCABULARIES = {"bert": ("vocab.txt",), "roberta": ("vocab.json", "merges.txt")}
"""What a tokenizer is made of where there is no `tokenizer.json`."""

_WRITTEN_BY = {"images": "AutoImageProcessor", "sounds": "AutoFeatureExtractor", "text": "AutoTokenizer"}
_LARGEST_CONFIG = 64 * MEBIBYTE  # bytes
_LARGEST_HEADER = 8 * MEBIBYTE  # bytes; of a longer one nothing is said, though safetensors would read it
_QUANTISED = {"I8", "U8", "I16", "U16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4"}
_UNREAD = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")


@dataclass(frozen=True)
class Fault:
    """A file that an encoder needs and that is not there, or not whole.

    Attributes:
        message: which, and what is wrong with it.
        files: names or patterns of files whose download mends it.
        damaged: whether there is a file by that name, which a download would take for whole.
    """

    message: str
    files: tuple[str, ...] = ()
    damaged: bool = False


def faults(folder: Path, *, weights: bool, tokenizer: bool) -> list[Fault]:
    """Return what an encoder's folder lacks of those files that its family is read from.

    Args:
        folder: in transformers' form.
        weights: whether weights are needed.
        tokenizer: whether the tokenizer of an encoder of texts is needed.

    Raises:
        ValueError: its configuration is broken, or of a family that no stream is known for; says what is wrong.
    """
    found = [*_absent(folder, CONFIG)]
    unreadable: OSError | None = None
    if not found:
        try:
            check_folder(folder)
        except OSError as error:  # as of a link to nothing: what follows says it better
            unreadable = error
        reads, family = _family(folder)
        if reads != "text":
            found += _absent(folder, PREPROCESSOR, f" (`{_WRITTEN_BY[reads]}` saves it)")
        elif tokenizer:
            found += _tokenizer(folder, _VOCABULARIES[family])
    found += _weights(folder) if weights else ()
    if unreadable and not found:
        raise ValueError(wording(unreadable))
    return found


def _family(folder: Path) -> tuple[str, str]:
    """Return what the encoder in a folder reads, and its family; ValueError where no stream is known for that."""
    try:
        config = read_json(folder / CONFIG, _LARGEST_CONFIG)
    except OSError as error:
        raise ValueError(wording(error)) from error
    family = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(family, str):
        raise ValueError(f"{CONFIG} names no family of encoders (model_type)")
    if family not in READS:
        raise ValueError(f"no stream is known for encoders of the family {family}; known: {', '.join(READS)}")
    return READS[family], family


def what_is_read(folder: Path) -> str:
    """Return what the encoder in a folder reads, one of the values of `READS`; the folder has no faults."""
    return READS[read_json(folder / CONFIG, _LARGEST_CONFIG)["model_type"]]


def is_read(name: str, reads: str) -> bool:
    """Return whether a file in the folder of an encoder that reads images, sounds or text can decide what it gives."""
    return reads == "text" or any(
        fnmatchcase(name, pattern) for pattern in (CONFIG, PREPROCESSOR, "model*.safetensors*")
    )


def _absent(folder: Path, name: str, about: str = "") -> Iterator[Fault]:
    """Yield a fault where there is no such file, or none that can be read."""
    path = folder / name
    if not os.path.lexists(path):
        yield Fault(f"{name} is missing{about}", (name,))
    elif not os.path.exists(path):  # noqa: PTH110 - of a Path it raises where a folder may not be entered
        yield Fault(f"{name} is a link to a file that is not there", (name,))
    elif not path.is_file():
        yield Fault(f"{name} is no regular file")
    elif not os.access(path, os.R_OK):
        yield Fault(f"{name} may not be read: its permissions do not allow it")


def _tokenizer(folder: Path, vocabulary: Sequence[str]) -> Iterator[Fault]:
    whole = "tokenizer.json"
    if not [*_absent(folder, whole)] or not any([*_absent(folder, name)] for name in vocabulary):
        return
    if os.path.lexists(folder / whole):
        yield from _absent(folder, whole)
        return
    names = f"{whole} or {' and '.join(vocabulary)}"
    patterns = (whole, "tokenizer_config.json", "special_tokens_map.json", *vocabulary)
    yield Fault(f"{names} is missing (the tokenizer: `{_WRITTEN_BY['text']}` saves it)", patterns)


def _weights(folder: Path) -> Iterator[Fault]:
    """Yield what is wrong with the weights: transformers reads the single file where there is one, else the index."""
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
        yield Fault(f"{INDEX} is missing, which says what the parts of the weights hold", (INDEX,))
        return
    others = [name for name in _UNREAD if os.path.lexists(folder / name)]
    about = f" ({others[0]} is not read: such files may hold code; transformers saves safetensors)" if others else ""
    yield Fault(f"{WEIGHTS} is missing{about}", ("model*.safetensors", INDEX))


def _weight_map(index: Path) -> Mapping[str, str]:
    """Return the parts that an index names, those in its folder; `check_folder` refuses others."""
    try:
        names = read_json(index, _LARGEST_CONFIG)["weight_map"].items()
        return {tensor: name for tensor, name in names if lies_within(name)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _unsound(folder: Path, name: str) -> Iterator[Fault]:
    """Yield what is wrong with a safetensors file, as far as its header and its size tell."""
    if absent := [*_absent(folder, name)]:
        yield from absent
        return
    try:
        header, wrong = _header(folder / name)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        header, wrong = {}, "no readable safetensors file"
    if wrong:
        yield Fault(f"{name} is {wrong}", (name,), damaged=True)
    elif kinds := {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} & _QUANTISED:
        yield Fault(f"{name} holds quantised weights ({', '.join(sorted(kinds))}), which no stream can use")


def _header(path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the header of a safetensors file, {} for one too long to look at, and in what the file falls short of it.

    Raises:
        OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError: it is no such file.
    """
    size = check_file(path, 2**63)
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start == b"version " and b"git-lfs" in file.read(128):
            return {}, "only a pointer of Git LFS to the file: `git lfs pull` fetches it"
        if 8 + length > size:
            return {}, f"cut short, or no safetensors: it has {size:,} bytes"
        if length > _LARGEST_HEADER:
            return {}, ""
        file.seek(8)
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__" and entry["dtype"]]
    if not all(isinstance(end, int) for end in ends):
        raise ValueError("where a tensor ends is no whole number")
    expected = 8 + length + max(ends, default=0)
    return header, f"cut short: it has {size:,} bytes of {expected:,}" if size < expected else ""
