"""Decoding the samples of official releases before the first run."""

from __future__ import annotations

from pathlib import Path

from bench.config.instantiate import sources_of, task_of
from bench.config.preflight import check_official


def decode(suite: str, task: str, root: Path) -> dict[str, int]:
    """Decode the samples of a release for the streams of a suite, into the cache that runs read.

    Splits that the cache already contains are not decoded again.

    Args:
        suite: Name of a suite, or path of its file.
        task: Name of the task.
        root: Folder of the release (--data-root).

    Returns:
        The number of samples of each split.

    Raises:
        UsageError: The suite, an encoder or the release does not exist.
        DataError: A file of the release is missing or broken.
    """
    from bench.config.plan import RunRequest, make_plan
    from bench.config.preflight import check_encoders

    check_official([task], root)
    spec = make_plan(RunRequest(suite, ["head"], [task], overrides=["data.source=official"]))[0]
    check_encoders([spec], weights=False, tokenizer=True)

    from bench.data.splits import open_splits  # imports torch
    from bench.streams.load import outline_stream

    inputs = {name: outline_stream(**source).input for name, source in sources_of(spec).items()}
    return open_splits(task_of(spec), spec.data, root, inputs).counts
