"""What an encoder is called on other machines: its id on the Hugging Face hub, where that is known."""

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
    """What an encoder is called.

    Attributes:
        name: its id on the hub, `embedded:<name>`, or the name of its folder, without the folders that it lies in.
        revision: the commit on the hub, where known.
        on_hub: whether the name is an id on the hub.
    """

    name: str
    revision: str | None = None
    on_hub: bool = False

    def __str__(self) -> str:
        return f"{self.name} at {self.revision}" if self.revision else self.name

    @property
    def is_path(self) -> bool:
        """Whether it is the name of a folder, which may lie anywhere."""
        return not self.on_hub and not self.name.startswith("embedded:")


def encoder_name(model: str) -> EncoderName:
    """Return what an encoder is called, wherever it lies on this machine.

    A folder outside the cache says in its configuration what it was loaded from (`_name_or_path`), if anything. That
    may be what it was fine-tuned from, so it counts only where the cache's copy of that has the same weights.

    Args:
        model: as for `find_encoder`.

    Raises:
        UsageError: it is not there.
    """
    if model.startswith("embedded:"):
        return EncoderName(model)
    folder = find_encoder(model, weights=False)
    if on_hub := hub_cache.hub_name(folder):
        return EncoderName(*on_hub, on_hub=True)
    if not Path(model).expanduser().is_dir():  # an id of which this package knows the shape
        return EncoderName(model, on_hub=True)
    return _loaded_from(folder) or EncoderName(folder.resolve().name)


def name_in_text(model: str) -> str:
    """Return what an encoder is called as far as its id or path tells, without looking at any file."""
    path = Path(model)
    if on_hub := hub_cache.hub_name(path):
        return on_hub[0]
    return path.name if path.is_absolute() or model.startswith((".", "~")) else model


def _loaded_from(folder: Path) -> EncoderName | None:
    """Return the name on the hub that a folder's configuration gives, if the cache has it with the same weights."""
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
