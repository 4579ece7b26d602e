"""The names of encoders that are valid on other machines: their ids on the Hugging Face hub, where known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.files import MEBIBYTE, read_json
from bench.streams import hub_cache
from bench.streams.checks import CONFIG
from bench.streams.sources import find_encoder
from bench.system.checksums import cached_checksums

_WEIGHTS = "model*.safetensors"


@dataclass(frozen=True)
class EncoderName:
    """The name of an encoder.

    Attributes:
        name: Its id on the hub, `embedded:<name>`, or the name of its folder without the path.
        revision: The commit on the hub, if known.
        on_hub: Whether the name is an id on the hub.
    """

    name: str
    revision: str | None = None
    on_hub: bool = False

    def __str__(self) -> str:
        return f"{self.name} at {self.revision}" if self.revision else self.name

    @property
    def is_path(self) -> bool:
        """Whether it is the name of a folder, which may be anywhere."""
        return not self.on_hub and not self.name.startswith("embedded:")


def encoder_name(model: str) -> EncoderName:
    """Return the name of an encoder, wherever it is stored on this machine.

    The configuration of a folder outside the cache may name what it was loaded from (`_name_or_path`). Since the folder
    may be a fine-tuned version of that, the name counts only if the cached copy has the same weights.

    Args:
        model: As for `find_encoder`.

    Raises:
        UsageError: There is no such encoder.
    """
    if model.startswith("embedded:"):
        return EncoderName(model)
    folder = find_encoder(model, weights=False)
    if on_hub := hub_cache.hub_name(folder):
        return EncoderName(*on_hub, on_hub=True)
    if not Path(model).expanduser().is_dir():  # an id whose shape is in this package
        return EncoderName(model, on_hub=True)
    return _loaded_from(folder) or EncoderName(folder.resolve().name)


def name_in_text(model: str) -> str:
    """Return the name of an encoder as far as its id or path shows, without accessing any file."""
    path = Path(model)
    if on_hub := hub_cache.hub_name(path):
        return on_hub[0]
    return path.name if path.is_absolute() or model.startswith((".", "~")) else model


def _loaded_from(folder: Path) -> EncoderName | None:
    """Return the hub name in a folder's configuration if the cache has it with the same weights, else None."""
    try:
        name = read_json(folder / CONFIG, MEBIBYTE).get("_name_or_path")
        copy = hub_cache.snapshot(name) if isinstance(name, str) else None
        if not copy or not (weights := _weights(folder)) or weights != _weights(copy):
            return None
    except (OSError, ValueError, AttributeError, UsageError):
        return None
    return EncoderName(name, copy.name, on_hub=True)


def _weights(folder: Path) -> dict[str, str]:
    with cached_checksums(folder) as checksum:
        return {path.name: checksum(path) for path in folder.glob(_WEIGHTS)}
