"""Where pretrained encoders lie: in this package, in a folder, or in the Hugging Face cache. Nothing is fetched."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UsageError

WEIGHTS = Path(__file__).parents[1] / "weights"
_CONFIG = "config.json"
_TENSORS = ("model.safetensors", "model.safetensors.index.json")


def find_encoder(model: str, *, weights: bool = True) -> Path:
    """Return the folder, in transformers' form, of an encoder. Heavy packages are not imported.

    Args:
        model: `embedded:<name>`, a folder, or the id of a model on the Hugging Face hub, of which there must be a copy
            in the cache: the network is not asked, with `HF_HUB_OFFLINE` or without.
        weights: whether they are needed; without, the configuration alone will do.

    Raises:
        UsageError: it is not there, or without weights as safetensors; says which command fetches it.
    """
    scheme, _, name = model.partition(":")
    if scheme == "embedded":
        known = sorted(path.parent.name for path in WEIGHTS.glob(f"*/{_CONFIG}"))
        if name not in known:
            raise UsageError(f"no embedded encoder {name}; known: {', '.join(known) or 'none'}")
        return WEIGHTS / name
    folder = Path(model).expanduser()
    if folder.is_dir():
        if lacking := _lacking(folder, weights):
            raise UsageError(f"the folder {model} holds no {lacking}: name one as `save_pretrained` writes it")
        return folder
    if model.startswith((".", "~")) or folder.is_absolute():
        raise UsageError(f"no folder {model} to load an encoder from")
    cached = _cached(model)
    lacking = _lacking(cached, weights) if cached else "copy of it"
    if not cached or lacking:
        wanted = " ".join(f'--include "*.{ending}"' for ending in ("json", "txt", "safetensors"))
        raise UsageError(
            f"the encoder {model} is not here: the Hugging Face cache holds no {lacking}, and it is no folder either. "
            f"Fetch it with `hf download {model} {wanted}`"
        )
    return cached


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
