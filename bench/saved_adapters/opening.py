"""Finding the run and the encoders of a saved adapter, before anything heavy is imported to load it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.config.spec import Spec
from bench.errors import BenchError
from bench.records import schema, store
from bench.records.specification import specification
from bench.saved_adapters.encoders import check_same, locate
from bench.saved_adapters.manifest import read_manifest

RECORD = "record.json"
"""The file of the record within the folder of a saved adapter."""


def open_adapter(
    folder: Path, encoders: Mapping[str, str | Path] | None = None, *, other_encoders: bool = False
) -> tuple[schema.Record, Spec]:
    """Return the record of the run that trained an adapter, and its specification with local paths of the encoders.

    Args:
        folder: Folder of the saved adapter.
        encoders: Folders of encoders, by stream; others are those of the record, or of the Hugging Face cache.
        other_encoders: Whether to accept encoders that the adapter was not trained on.

    Raises:
        BenchError: The folder contains no saved adapter, or one that was changed after it was saved.
        UsageError: An encoder does not exist, or is not the one that the adapter was trained on.
    """
    path = folder / RECORD
    if not path.is_file():
        raise BenchError(
            f"{folder} contains no saved adapter: there is no {path}; `bench run --save-adapters` saves adapters"
        )
    manifest = read_manifest(folder)
    record = store.read(path)
    spec = specification(record, path)
    streams = locate(spec.streams, encoders or {}, manifest.encoders if manifest else {})
    if not other_encoders:
        check_same({name: source["model"] for name, source in streams.items()}, manifest, record.provenance)
    return record, replace(spec, streams=streams)
