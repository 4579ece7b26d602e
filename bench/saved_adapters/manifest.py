"""The manifest of a saved adapter: the checksums of its files, and the encoders that it was trained on.

Encoders are identified by their names on the hub and the checksums of their files, so that an adapter can be used
wherever they are stored. Adapters saved by early versions have no manifest.
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
from bench.files import MEBIBYTE, read_text
from bench.streams.encoder_files import affects_output, input_kinds
from bench.streams.encoder_names import EncoderName, encoder_name
from bench.streams.sources import file_checksums, find_encoder
from bench.system.checksums import MISSING, combined, file_checksum

FILE = "manifest.json"
CARD = "README.md"  # may be edited, since nothing is read from it
_SHOWN = 12  # hex digits of a checksum that a message shows
_WEIGHTS = "model*.safetensors*"


@dataclass(frozen=True)
class Encoder(EncoderName):
    """An encoder that an adapter was trained on: its name and its files.

    Attributes:
        files: The SHA-256 of each file that the encoder is read from, by name.
    """

    files: dict[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> str:
        """The SHA-256 of its weights; for several files, their `bench.system.checksums.combined` checksum."""
        files = _weights(self.files)
        return next(iter(files.values())) if len(files) == 1 else combined(files.items())


@dataclass(frozen=True)
class Manifest:
    """The contents of a saved adapter.

    Attributes:
        files: The SHA-256 of each file except the card and the manifest, by path within the folder.
        encoders: The encoders by stream.
    """

    files: dict[str, str]
    encoders: dict[str, Encoder]


def encoders_of(models: Mapping[str, str]) -> dict[str, Encoder]:
    """Return a manifest's description of encoders, by stream.

    Args:
        models: Encoders, as for `bench.streams.sources.find_encoder`, by stream.

    Raises:
        UsageError: An encoder does not exist.
    """
    return {name: Encoder(**asdict(encoder_name(model)), files=_encoder_files(model)) for name, model in models.items()}


def write_manifest(folder: Path, encoders: Mapping[str, Encoder]) -> None:
    """Write the manifest of a folder that contains all other files of an adapter."""
    manifest = Manifest(_files(folder), dict(encoders))
    (folder / FILE).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a saved adapter after comparing its files; None for an older adapter without one.

    Raises:
        BenchError: The manifest cannot be read, or files are not as they were saved. The message lists them all.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return None
    try:
        manifest = msgspec.json.decode(read_text(path, MEBIBYTE), type=Manifest)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BenchError(f"cannot read the manifest of the saved adapter, {path}: {error}") from error
    if problems := _differences(manifest.files, _files(folder, manifest.files), folder):
        raise BenchError(
            f"the saved adapter {folder} is not as it was saved: {'; '.join(problems)}. Use an unchanged copy; "
            f"to use this one as it is, delete its {FILE}"
        )
    return manifest


def differences(encoder: Encoder, model: str) -> list[str]:
    """Return how an encoder differs from the one that an adapter was trained on, as phrases with checksums.

    Args:
        encoder: The encoder that the adapter was trained on.
        model: The present encoder, as for `bench.streams.sources.find_encoder`.

    Raises:
        UsageError: The encoder does not exist.
    """
    present = _encoder_files(model)
    problems = _differences(encoder.files, present)
    problems += [f"{name} did not exist" for name in present if name not in encoder.files]
    if problems and _weights(encoder.files) == _weights(present):
        problems.append("the weights are the same")
    return problems


def short(checksum: str) -> str:
    """Return the first digits of a checksum, for messages."""
    return checksum[:_SHOWN]


def _differences(expected: Mapping[str, str], present: Mapping[str, str], folder: Path = Path()) -> list[str]:
    return [
        f"{folder / name} has SHA-256 {short(present[name])}, not {short(checksum)}"
        if name in present
        else f"{folder / name} is missing"
        for name, checksum in expected.items()
        if present.get(name) != checksum
    ]


def _weights(files: Mapping[str, str]) -> dict[str, str]:
    return {name: checksum for name, checksum in files.items() if fnmatchcase(name, _WEIGHTS)}


def _encoder_files(model: str) -> dict[str, str]:
    """Return the checksums of the files that an encoder is read from, without others such as a tokenizer's."""
    kinds = input_kinds(find_encoder(model))
    return {name: checksum for name, checksum in file_checksums(model).items() if affects_output(name, kinds)}


def _files(folder: Path, names: Collection[str] | None = None) -> dict[str, str]:
    """Return the checksums of an adapter's files, or of those that are named, by path within the folder."""
    checksums = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (CARD, FILE) and (names is None or name in names):
            checksums[name] = _checksum(path)
    return checksums


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError:
        return MISSING
