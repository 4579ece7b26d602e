"""Where pretrained encoders lie: in this package, in a folder, or in the Hugging Face cache. Nothing is fetched."""

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
"""What `config.json` and `preprocessor_config.json` of encoders on the hub say, each in the folder of its id."""

_FILES = (
    *(CONFIG, "preprocessor_config.json", "processor_config.json", "model.safetensors*", "model-*.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.*"),
    *("merges.txt", "*.model"),
)
"""What of an encoder's folder decides what it computes: configuration, weights, processor and tokenizer."""
_ALL = ("*.json", "*.txt", "*.safetensors")


def find_encoder(model: str, *, weights: bool = True, tokenizer: bool | None = None) -> Path:
    """Return the folder, in transformers' form, of an encoder that has all files it is read from.

    Heavy packages are not imported.

    Args:
        model: `embedded:<name>`, a folder, or the id of a model on the Hugging Face hub, of which there must be a copy
            in the cache: the network is not asked, with `HF_HUB_OFFLINE` or without.
        weights: whether they are needed; without, the configuration will do, of what reads images or sounds that of the
            preprocessor too, and for some encoders this package knows both where the cache does not.
        tokenizer: whether an encoder of texts needs its tokenizer; by default where it needs its weights.

    Raises:
        UsageError: it is not there, or not whole, or of no family that a stream is known for; says which command
            fetches what is missing.
    """
    needs_tokenizer = weights if tokenizer is None else tokenizer
    scheme, _, name = model.partition(":")
    if scheme == "embedded":
        known = sorted(path.parent.name for path in WEIGHTS.glob(f"*/{CONFIG}"))
        if name not in known:
            raise UsageError(f"no embedded encoder {name}; known: {', '.join(known) or 'none'}")
        return WEIGHTS / name
    if not model:
        raise UsageError("no encoder is named: the model is an empty text")
    folder = _as_folder(model)
    if folder.is_dir():
        if missing := _faults(folder, model, weights, needs_tokenizer):
            raise UsageError(_in_part(folder, model, missing))
        return folder
    if model.startswith((".", "~")) or folder.is_absolute():
        raise UsageError(f"no folder {model} to load an encoder from")
    copy = hub_cache.snapshot(model)
    missing = _faults(copy, model, weights, needs_tokenizer) if copy else []
    if copy and not missing:
        return copy
    shape = SHAPES / model
    if not weights and model in known_shapes() and not _faults(shape, model, weights, needs_tokenizer):
        return shape
    if copy:
        raise UsageError(_in_part(copy, model, missing))
    told = "" if weights else f"; what needs no weights knows {', '.join(known_shapes())} without a copy"
    raise UsageError(
        f"the encoder {model} is not here: the Hugging Face cache ({hub_cache.cache()}) holds no copy of it, and it is "
        f"no folder either. Fetch it with {fetching(model)}{told}"
    )


def encoder_checksum(model: str, *, weights: bool = True) -> str:
    """Return the checksum of an encoder: of its weights, configuration, processor and tokenizer.

    Arguments and errors are those of `find_encoder`.
    """
    return combined(file_checksums(model, weights=weights).items())


def file_checksums(model: str, *, weights: bool = True) -> dict[str, str]:
    """Return the checksum of each file that `encoder_checksum` is of, by name.

    Arguments and errors are those of `find_encoder`.
    """
    folder = find_encoder(model, weights=weights)
    files = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    with cached_checksums(folder) as checksum:
        return {path.name: checksum(path) for path in sorted(files)}


def known_shapes() -> list[str]:
    """Return the ids on the hub of those encoders whose configuration is known here, without weights."""
    return sorted(path.parent.relative_to(SHAPES).as_posix() for path in SHAPES.glob(f"*/*/{CONFIG}"))


def fetching(model: str, commit: str | None = None) -> str:
    """Return the command that fetches an encoder from the hub, its main revision or another, in backquotes."""
    return hub_cache.fetching(model, _ALL, commit or "")


def _as_folder(model: str) -> Path:
    """Return a model as the path of a folder, of which the system can be asked whether it is there."""
    try:
        folder = Path(model).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, or in the home of an unknown user
        raise UsageError(f"the encoder {model[:200]!r} is neither a folder nor the id of a model: {error}") from error
    if is_folder and not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"the folder {model} of an encoder may not be read: its permissions do not allow it")
    return folder


def _faults(folder: Path, model: str, weights: bool, tokenizer: bool) -> list[Fault]:
    try:
        return faults(folder, weights=weights, tokenizer=tokenizer)
    except ValueError as error:
        raise UsageError(f"cannot load the encoder {model}: {error}") from error


def _in_part(folder: Path, model: str, missing: Sequence[Fault]) -> str:
    """Say what an encoder lacks that is there in part, and how to get it."""
    wrong = "; ".join(fault.message for fault in missing)
    names = [name for fault in missing for name in fault.files]
    on_hub = hub_cache.hub_name(folder)
    if not on_hub:
        if not (folder / CONFIG).exists():
            return f"the folder {model} holds no encoder: {wrong}. Name a folder as `save_pretrained` writes it"
        told = f"the folder {model} holds no whole encoder: {wrong}"
        written = "It must be as `save_pretrained` of the encoder and of its processor or tokenizer write it"
        return f"{told}. {written}" if names else told
    told = f"the encoder {on_hub[0]} is here in part only ({folder}): {wrong}"
    if not names:
        return told
    stopped = "A download of it was stopped midway. " if hub_cache.interrupted(folder) else ""
    repository, commit = on_hub
    command = hub_cache.fetching(repository, names, commit, force=any(fault.damaged for fault in missing))
    return f"{told}. {stopped}Fetch that with {command}"
