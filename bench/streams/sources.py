"""Where pretrained encoders lie: in this package, in a folder, or in the Hugging Face cache. Nothing is fetched."""

from __future__ import annotations

import shlex
from pathlib import Path

from bench.checksums import combined, remembered
from bench.errors import UsageError

WEIGHTS = Path(__file__).parents[1] / "weights"
SHAPES = Path(__file__).parent / "shapes"
"""What `config.json` and `preprocessor_config.json` of encoders on the hub say, each in the folder of its id."""

_CONFIG = "config.json"
_FILES = (
    *(_CONFIG, "preprocessor_config.json", "processor_config.json", "model.safetensors*", "model-*.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.*"),
    *("merges.txt", "*.model"),
)
"""What of an encoder's folder decides what it computes: configuration, weights, processor and tokenizer."""
_TENSORS = ("model.safetensors", "model.safetensors.index.json")


def find_encoder(model: str, *, weights: bool = True) -> Path:
    """Return the folder, in transformers' form, of an encoder. Heavy packages are not imported.

    Args:
        model: `embedded:<name>`, a folder, or the id of a model on the Hugging Face hub, of which there must be a copy
            in the cache: the network is not asked, with `HF_HUB_OFFLINE` or without.
        weights: whether they are needed; without, the configuration alone will do, and for some encoders this package
            knows it where the cache does not: then the folder has no tokenizer either.

    Raises:
        UsageError: it is not there, or without weights as safetensors; says which command fetches it.
    """
    scheme, _, name = model.partition(":")
    if scheme == "embedded":
        known = sorted(path.parent.name for path in WEIGHTS.glob(f"*/{_CONFIG}"))
        if name not in known:
            raise UsageError(f"no embedded encoder {name}; known: {', '.join(known) or 'none'}")
        return WEIGHTS / name
    folder = _as_folder(model)
    if folder.is_dir():
        if lacking := _lacking(folder, weights):
            raise UsageError(f"the folder {model} holds no {lacking}: name one as `save_pretrained` writes it")
        return folder
    if model.startswith((".", "~")) or folder.is_absolute():
        raise UsageError(f"no folder {model} to load an encoder from")
    cached = _cached(model)
    lacking = _lacking(cached, weights) if cached else "copy of it"
    if cached and not lacking:
        return cached
    if not weights and model in known_shapes():
        return SHAPES / model
    told = "" if weights else f"; what needs no weights knows {', '.join(known_shapes())} without a copy"
    raise UsageError(
        f"the encoder {model} is not here: the Hugging Face cache holds no {lacking}, and it is no folder either. "
        f"Fetch it with {fetching(model)}{told}"
    )


def encoder_checksum(model: str, *, weights: bool = True) -> str:
    """Return the checksum of an encoder: of its weights, configuration, processor and tokenizer.

    Arguments and errors are those of `find_encoder`.
    """
    folder = find_encoder(model, weights=weights)
    files = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    with remembered(folder) as checksum:
        return combined((path.name, checksum(path)) for path in files)


def known_shapes() -> list[str]:
    """Return the ids on the hub of those encoders whose configuration is known here, without weights."""
    return sorted(path.parent.relative_to(SHAPES).as_posix() for path in SHAPES.glob(f"*/*/{_CONFIG}"))


def fetching(model: str) -> str:
    """Return the command that fetches an encoder from the hub, in backquotes."""
    wanted = " ".join(f'--include "*.{ending}"' for ending in ("json", "txt", "safetensors"))
    return f"`hf download {shlex.quote(model)} {wanted}`"


def _as_folder(model: str) -> Path:
    """Return a model as the path of a folder, of which the system can be asked whether it is there."""
    try:
        folder = Path(model).expanduser()
        folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, or in the home of an unknown user
        raise UsageError(f"the encoder {model[:200]!r} is neither a folder nor the id of a model: {error}") from error
    return folder


def _lacking(folder: Path, weights: bool) -> str:
    """Return which file a folder lacks to be an encoder's; nothing where it has all."""
    if not (folder / _CONFIG).is_file():
        return _CONFIG
    return "" if not weights or any((folder / name).is_file() for name in _TENSORS) else _TENSORS[0]


def _cached(model: str) -> Path | None:
    """Return the folder of a model in the Hugging Face cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(model, _CONFIG)
    except ValueError:  # no possible id
        return None
    return Path(found).parent if isinstance(found, str) else None
