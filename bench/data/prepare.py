"""Decodes the samples of official releases ahead of the first run."""

from __future__ import annotations

from pathlib import Path

from bench.config.instantiate import task_of
from bench.config.preflight import check_official


def decode(suite: str, task: str, root: Path) -> dict[str, int]:
    """Decode the samples of a release for the streams of a suite, into the cache that runs take them from.

    What is there already is left.

    Args:
        suite: A name, or the path of a suite's file.
        task: Name of the task.
        root: The release's --data-root.

    Returns:
        How many samples each split has.

    Raises:
        UsageError: The suite, an encoder or the release is not there.
        DataError: A file of the release is missing or broken.
    """
    from bench.config.plan import RunRequest, make_plan
    from bench.config.preflight import check_encoders

    check_official([task], root)
    spec = make_plan(RunRequest(suite, ["head"], [task], overrides=["data.source=official"]))[0]
    check_encoders([spec], weights=False, tokenizer=True)

    from bench.data.splits import open_splits  # brings torch
    from bench.streams.load import outline_stream

    inputs = {name: outline_stream(**source).input for name, source in spec.streams.items()}
    built = task_of(spec)
    return open_splits(built, spec.data, root, inputs).counts
