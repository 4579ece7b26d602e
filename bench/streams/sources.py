"""The places of pretrained encoders: this package, a folder, or the Hugging Face cache. Nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.errors import UsageError
from bench.streams import hub_cache
from bench.streams.checks import CONFIG
from bench.streams.encoder_files import Fault, faults
from bench.system.checksums import cached_checksums, combined

WEIGHTS = Path(__file__).parents[1] / "weights"
SHAPES = Path(__file__).parent / "shapes"
"""`config.json` and `preprocessor_config.json` of encoders on the hub, in folders named by their ids."""

_FILES = (
    *(CONFIG, "preprocessor_config.json", "processor_config.json", "model.safetensors*", "model-*.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.*"),
    *("merges.txt", "*.model"),
)
"""The files that determine an encoder's output: configuration, weights, processor and tokenizer."""
_DOWNLOADED = ("*.json", "*.txt", "*.safetensors")


def find_encoder(model: str, *, weights: bool = True, tokenizer: bool | None = None, kind: str | None = None) -> Path:
    """Return the folder of an encoder, in transformers' form, with all files that it is read from.

    Heavy packages are not imported.

    Args:
        model: `embedded:<name>`, a folder, or the id of a model on the Hugging Face hub with a copy in the cache. The
            network is not used, whether or not `HF_HUB_OFFLINE` is set.
        weights: Whether weights are needed. Without them the configuration is enough, with that of the preprocessor for
            images and sounds; this package has both for some encoders that are not in the cache.
        tokenizer: Whether a text encoder needs its tokenizer; None for the value of `weights`.
        kind: The kind of input, for an encoder of several, such as CLIP; see `bench.streams.encoder_files.faults`.

    Raises:
        UsageError: The encoder is missing, incomplete or of an unsupported family; shows the command that downloads
            what is missing.
    """
    needs_tokenizer = weights if tokenizer is None else tokenizer
    scheme, _, name = model.partition(":")
    if scheme == "embedded":
        known = sorted(path.parent.name for path in WEIGHTS.glob(f"*/{CONFIG}"))
        if name not in known:
            raise UsageError(f"there is no embedded encoder {name}; there are {', '.join(known) or 'none'}")
        return WEIGHTS / name
    if not model:
        raise UsageError("the model of a stream is empty: name an encoder")
    folder = _as_folder(model)
    if folder.is_dir():
        if missing := _faults(folder, model, weights, needs_tokenizer, kind):
            raise UsageError(_incomplete(folder, model, missing))
        return folder
    if model.startswith((".", "~")) or folder.is_absolute():
        raise UsageError(f"there is no folder {model} to load an encoder from: put the encoder there")
    copy = hub_cache.snapshot(model)
    missing = _faults(copy, model, weights, needs_tokenizer, kind) if copy else []
    if copy and not missing:
        return copy
    shape = SHAPES / model
    if not weights and model in known_shapes() and not _faults(shape, model, weights, needs_tokenizer, kind):
        return shape
    if copy:
        raise UsageError(_incomplete(copy, model, missing))
    shapes = "" if weights else f". Commands that need no weights have the shapes of {', '.join(known_shapes())}"
    raise UsageError(
        f"the encoder {model} is missing: it is neither a folder nor in the Hugging Face cache ({hub_cache.cache()}). "
        f"Download it with {download_command(model)} if its family (the `model_type` in its {CONFIG}) is one of those "
        f"that `bench list encoders` shows{shapes}"
    )


def encoder_checksum(model: str, *, weights: bool = True) -> str:
    """Return the checksum of an encoder's weights, configuration, processor and tokenizer.

    Args:
        model: As for `find_encoder`.
        weights: As for `find_encoder`.

    Raises:
        UsageError: As for `find_encoder`.
    """
    return combined(file_checksums(model, weights=weights).items())


def file_checksums(model: str, *, weights: bool = True) -> dict[str, str]:
    """Return the checksum of each file that determines an encoder's output, by name.

    Args:
        model: As for `find_encoder`.
        weights: As for `find_encoder`.

    Raises:
        UsageError: As for `find_encoder`.
    """
    folder = find_encoder(model, weights=weights)
    files = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    with cached_checksums(folder) as checksum:
        return {path.name: checksum(path) for path in sorted(files)}


def known_shapes() -> list[str]:
    """Return the hub ids of the encoders whose configuration, but not weights, is in this package."""
    return sorted(path.parent.relative_to(SHAPES).as_posix() for path in SHAPES.glob(f"*/*/{CONFIG}"))


def download_command(model: str, commit: str | None = None) -> str:
    """Return the command that downloads an encoder from the hub, in backquotes.

    Args:
        model: Its id on the hub.
        commit: Commit of the revision; None for the main revision.
    """
    return hub_cache.download_command(model, _DOWNLOADED, commit or "")


def _as_folder(model: str) -> Path:
    """Return a model as the path of a folder, which may not exist.

    Raises:
        UsageError: It cannot be the path of a folder, or the folder cannot be read.
    """
    try:
        folder = Path(model).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, or the home of an unknown user
        raise UsageError(f"the encoder {model[:200]!r} is neither a folder nor the id of a model: {error}") from error
    if is_folder and not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"the encoder folder {model} cannot be read: permission denied")
    return folder


def _faults(folder: Path, model: str, weights: bool, tokenizer: bool, kind: str | None) -> list[Fault]:
    try:
        return faults(folder, weights=weights, tokenizer=tokenizer, kind=kind)
    except ValueError as error:
        raise UsageError(f"cannot load the encoder {model}: {error}") from error


def _incomplete(folder: Path, model: str, missing: Sequence[Fault]) -> str:
    """Return a message that says what an incomplete encoder lacks, and how to get it."""
    problems = "; ".join(fault.message for fault in missing)
    names = [name for fault in missing for name in fault.files]
    on_hub = hub_cache.hub_name(folder)
    if not on_hub:
        if not (folder / CONFIG).exists():
            return f"the folder {model} contains no encoder: {problems}. Give a folder written by `save_pretrained`"
        message = f"the encoder in the folder {model} is incomplete: {problems}"
        remedy = "Save it again with `save_pretrained` of the encoder and of its processor or tokenizer"
        if all(fault.saved_by for fault in missing):
            classes = dict.fromkeys(fault.saved_by for fault in missing)
            remedy = "Save it in Python, with the name of the encoder that this one was made from: " + ", ".join(
                f'`transformers.{name}.from_pretrained("NAME").save_pretrained("{model}")`' for name in classes
            )
        return f"{message}. {remedy}" if names else message
    message = f"the copy of the encoder {on_hub[0]} in {folder} is incomplete: {problems}"
    if not names:
        return message
    stopped = "A download of it was interrupted. " if hub_cache.interrupted(folder) else ""
    repository, commit = on_hub
    command = hub_cache.download_command(repository, names, commit, force=any(fault.damaged for fault in missing))
    return f"{message}. {stopped}Download these files with {command}"
