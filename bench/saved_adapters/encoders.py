"""The encoders of a saved adapter: finding them on this machine, and checking that they are the original ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import Mistakes, UsageError, did_you_mean
from bench.records.schema import Provenance
from bench.saved_adapters.manifest import Encoder, Manifest, differences, short
from bench.streams import hub_cache
from bench.streams.sources import download_command, encoder_checksum, find_encoder

Sources = Mapping[str, Mapping[str, Any]]


def locate(
    sources: Sources, folders: Mapping[str, str | Path], encoders: Mapping[str, Encoder]
) -> dict[str, dict[str, Any]]:
    """Return the streams of a specification, with the paths of their encoders on this machine.

    An encoder of the hub is taken from the cache, preferably at the revision that the adapter was trained on.

    Args:
        sources: The specification's streams.
        folders: Folders of encoders, by stream; for other streams the specification's are used.
        encoders: The manifest's encoders, by stream.

    Raises:
        UsageError: An encoder or a stream does not exist. The message shows how to name the encoder's folder.
    """
    mistakes = Mistakes()
    for stream in folders.keys() - sources.keys():
        mistakes.add(f"the adapter has no stream {stream}: {did_you_mean(stream, sources)}")
    models = {}
    for stream, source in sources.items():
        encoder = encoders.get(stream)
        try:
            models[stream] = str(folders[stream]) if stream in folders else _local_path(source["model"], encoder)
            find_encoder(models[stream])
        except UsageError as error:
            details = f" ({encoder}, weights with SHA-256 {short(encoder.weights)})" if encoder else ""
            mistakes.add(
                f"{error}. The adapter needs the encoder of {stream} that it was trained on{details}; to name its "
                f'folder: --set {stream}.model=DIR (in Python: encoders={{"{stream}": DIR}})'
            )
    mistakes.raise_if_any()
    return {stream: {**source, "model": models[stream]} for stream, source in sources.items()}


def check_same(models: Mapping[str, str], manifest: Manifest | None, provenance: Provenance | None) -> None:
    """Check that encoders are those that an adapter was trained on, as far as that was recorded.

    Args:
        models: Encoders, as for `find_encoder`, by stream.
        manifest: The adapter's manifest; older adapters have none.
        provenance: The provenance of the run that trained the adapter.

    Raises:
        UsageError: Encoders differ. The message shows the checksums.
    """
    mistakes = Mistakes()
    for stream, model in models.items():
        encoder = manifest.encoders.get(stream) if manifest else None
        problems = differences(encoder, model) if encoder else _recorded_differences(stream, model, provenance)
        if problems:
            mistakes.add(
                f"the encoder of {stream}, {model}, is not the one that the adapter was trained on"
                f"{f' ({encoder})' if encoder else ''}: {'; '.join(problems)}. To name the right one: "
                f'--set {stream}.model=DIR (in Python: encoders={{"{stream}": DIR}}); to use this one anyway: '
                "--other-encoders (other_encoders=True)"
            )
    mistakes.raise_if_any()


def _recorded_differences(stream: str, model: str, provenance: Provenance | None) -> list[str]:
    """Return how an encoder differs from the recorded one of an adapter without a manifest."""
    recorded = provenance.encoders.get(stream) if provenance else None
    if recorded is None or (checksum := encoder_checksum(model)) == recorded:
        return []
    return [f"its files together have SHA-256 {short(checksum)}, not {short(recorded)}"]


def _local_path(model: str, encoder: Encoder | None) -> str:
    """Return the path of a specification's encoder on this machine.

    Raises:
        UsageError: It is an encoder of the hub that the cache does not contain. The message names the revision.
    """
    if not encoder or not encoder.on_hub:
        return model
    if encoder.revision and (copy := hub_cache.snapshot(encoder.name, encoder.revision)):
        return str(copy)
    if hub_cache.snapshot(encoder.name) or Path(model).is_dir():
        return model
    raise UsageError(
        f"the encoder {encoder} is not on this machine: the Hugging Face cache ({hub_cache.cache()}) has no copy of "
        f"it. Download it with {download_command(encoder.name, encoder.revision)}"
    )
