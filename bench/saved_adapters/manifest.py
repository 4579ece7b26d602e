"""The manifest of a saved adapter: the checksums of its files, and which encoders it was trained on.

The encoders are known by their names on the hub and the checksums of their files, so an adapter can be used wherever
they lie. Adapters that were saved before there were manifests have none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from bench.errors import BenchError
from bench.files import MEBIBYTE, read_bytes
from bench.streams.encoder_files import affects_output, input_kind
from bench.streams.encoder_names import EncoderName, encoder_name
from bench.streams.sources import file_checksums, find_encoder
from bench.system.checksums import MISSING, combined, file_checksum

FILE = "manifest.json"
CARD = "README.md"  # may be edited: nothing is read from it
_SHOWN = 12  # hex digits of a checksum that a message shows
_WEIGHTS = "model*.safetensors*"


@dataclass(frozen=True)
class Encoder(EncoderName):
    """An encoder that an adapter was trained on: what it is called, and what it consists of.

    Attributes:
        files: the SHA-256 of each file that it is read from, by name.
    """

    files: dict[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> str:
        """The SHA-256 of its weights; of several files that of `bench.system.checksums.combined`."""
        files = _weights(self.files)
        return next(iter(files.values())) if len(files) == 1 else combined(files.items())


@dataclass(frozen=True)
class Manifest:
    """What a saved adapter consists of.

    Attributes:
        files: the SHA-256 of each of its files but the card and the manifest, by path within the folder.
        encoders: by stream.
    """

    files: dict[str, str]
    encoders: dict[str, Encoder]


def encoders_of(models: Mapping[str, str]) -> dict[str, Encoder]:
    """Return what a manifest says of encoders, by stream.

    Args:
        models: as for `bench.streams.sources.find_encoder`, by stream.

    Raises:
        UsageError: one is not there.
    """
    return {name: Encoder(**asdict(encoder_name(model)), files=_read_files(model)) for name, model in models.items()}


def write_manifest(folder: Path, encoders: Mapping[str, Encoder]) -> None:
    """Write the manifest of a folder that holds all other files of an adapter."""
    manifest = Manifest(_files(folder), dict(encoders))
    (folder / FILE).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a saved adapter, having compared its files; None for an older adapter without one.

    Raises:
        BenchError: it cannot be read, or files are not as they were saved; names all of them.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return None
    try:
        manifest = msgspec.json.decode(read_bytes(path, MEBIBYTE), type=Manifest)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BenchError(f"cannot read the manifest of the saved adapter, {path}: {error}") from error
    found = _files(folder, manifest.files)
    if wrong := _differences(manifest.files, found, folder):
        raise BenchError(
            f"the saved adapter {folder} is not as it was saved: {'; '.join(wrong)}. Take an unchanged copy; "
            f"whoever means to use it as it is deletes its {FILE}"
        )
    return manifest


def differences(encoder: Encoder, model: str) -> list[str]:
    """Return in what an encoder differs from the one that an adapter was trained on, in words that name checksums.

    Args:
        encoder: that one.
        model: as for `bench.streams.sources.find_encoder`.

    Raises:
        UsageError: it is not there.
    """
    found = _read_files(model)
    wrong = _differences(encoder.files, found)
    wrong += [f"{name} was not there" for name in found if name not in encoder.files]
    if wrong and _weights(encoder.files) == _weights(found):
        wrong.append("the weights are the same")
    return wrong


def short(checksum: str) -> str:
    """Return how a message shows a checksum."""
    return checksum[:_SHOWN]


def _differences(expected: Mapping[str, str], found: Mapping[str, str], folder: Path = Path()) -> list[str]:
    return [
        f"{folder / name} has SHA-256 {short(found[name])}, not {short(checksum)}"
        if name in found
        else f"{folder / name} is missing"
        for name, checksum in expected.items()
        if found.get(name) != checksum
    ]


def _weights(files: Mapping[str, str]) -> dict[str, str]:
    return {name: checksum for name, checksum in files.items() if fnmatchcase(name, _WEIGHTS)}


def _read_files(model: str) -> dict[str, str]:
    """Return the checksums of the files that an encoder is read from: a folder may hold others, as of a tokenizer."""
    kind = input_kind(find_encoder(model))
    return {name: checksum for name, checksum in file_checksums(model).items() if affects_output(name, kind)}


def _files(folder: Path, names: Collection[str] | None = None) -> dict[str, str]:
    """Return the checksums of an adapter's files, or of some of them, by path within the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (CARD, FILE) and (names is None or name in names):
            found[name] = _checksum(path)
    return found


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError:
        return MISSING
