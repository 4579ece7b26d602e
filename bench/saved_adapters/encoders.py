"""The encoders of a saved adapter: where they lie here, and whether they are those that it was trained on."""

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
    sources: Sources, given: Mapping[str, str | Path], known: Mapping[str, Encoder]
) -> dict[str, dict[str, Any]]:
    """Return where the streams of a specification come from, with their encoders as they lie on this machine.

    An encoder from the hub is taken from the cache at the revision that the adapter was trained on, if that is there.

    Args:
        sources: what the specification says, by stream.
        given: where encoders lie, by stream, for those that do not lie where the specification says.
        known: what the manifest says of the encoders.

    Raises:
        UsageError: an encoder is not there, or there is no such stream; says how to name the folder.
    """
    mistakes = Mistakes()
    for stream in given.keys() - sources.keys():
        mistakes.add(f"the adapter has no stream {stream}: {did_you_mean(stream, sources)}")
    models = {}
    for stream, source in sources.items():
        encoder = known.get(stream)
        try:
            models[stream] = str(given[stream]) if stream in given else _here(source["model"], encoder)
            find_encoder(models[stream])
        except UsageError as error:
            about = f" ({encoder}, weights with SHA-256 {short(encoder.weights)})" if encoder else ""
            mistakes.add(
                f"{error}. The adapter needs the encoder of {stream} that it was trained on{about}; to say where it "
                f'lies: --set {stream}.model=DIR (in Python: encoders={{"{stream}": DIR}})'
            )
    mistakes.raise_if_any()
    return {stream: {**source, "model": models[stream]} for stream, source in sources.items()}


def check_same(models: Mapping[str, str], manifest: Manifest | None, provenance: Provenance | None) -> None:
    """Make sure that encoders are those that an adapter was trained on, as far as it says so.

    Args:
        models: as for `find_encoder`, by stream.
        manifest: of the adapter; None for an older one.
        provenance: of the run that trained it.

    Raises:
        UsageError: some are others; names the checksums.
    """
    mistakes = Mistakes()
    for stream, model in models.items():
        encoder = manifest.encoders.get(stream) if manifest else None
        wrong = differences(encoder, model) if encoder else _other_than_recorded(stream, model, provenance)
        if wrong:
            mistakes.add(
                f"the encoder of {stream}, {model}, is not the one that the adapter was trained on"
                f"{f' ({encoder})' if encoder else ''}: {'; '.join(wrong)}. To name that one: --set {stream}.model=DIR "
                f'(in Python: encoders={{"{stream}": DIR}}); to use this one all the same: --other-encoders '
                "(other_encoders=True)"
            )
    mistakes.raise_if_any()


def _other_than_recorded(stream: str, model: str, provenance: Provenance | None) -> list[str]:
    """Return in what an encoder differs from the recorded one of an adapter without a manifest."""
    recorded = provenance.encoders.get(stream) if provenance else None
    if recorded is None or (checksum := encoder_checksum(model)) == recorded:
        return []
    return [f"its files together have SHA-256 {short(checksum)}, not {short(recorded)}"]


def _here(model: str, encoder: Encoder | None) -> str:
    """Return where an encoder lies that a specification names.

    Raises:
        UsageError: it is one of the hub, and the cache has no copy; names the revision.
    """
    if not encoder or not encoder.on_hub:
        return model
    if encoder.revision and (copy := hub_cache.snapshot(encoder.name, encoder.revision)):
        return str(copy)
    if hub_cache.snapshot(encoder.name) or Path(model).is_dir():
        return model
    raise UsageError(
        f"the encoder {encoder} is not here: the Hugging Face cache ({hub_cache.cache()}) holds no copy of it. "
        f"Fetch it with {download_command(encoder.name, encoder.revision)}"
    )
