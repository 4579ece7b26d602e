"""Images of a run's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.config.instantiate import sources_of, task_of
from bench.errors import BenchError, UsageError, did_you_mean
from bench.records import predictions, store
from bench.records.schema import Record
from bench.records.specification import specification
from bench.tasks import draw
from bench.text import escape

FOLDER = "pictures"
"""Folder of the images within the results folder."""


def show(
    run: str, results: Path, data_root: Path | None, count: int, split: str | None = None
) -> tuple[Image.Image, Record]:
    """Return an image of samples of one of a run's test splits with ground truth and predictions, and the run's record.

    Args:
        run: Id of the run, or its first characters.
        results: Results folder.
        data_root: Folder of the data; None for the user's cache folder.
        count: Number of samples, of those with stored predictions.
        split: Name of the test split; None for the first one.

    Raises:
        UsageError: There is no results folder, no such run or split, or several runs match.
        BenchError: There are no stored predictions of the run, or its data cannot be read.
    """
    record = _find(run, results)
    spec = specification(record, results / store.FOLDER / f"{record.stem}.json")
    task = task_of(spec)
    first = task.test_splits[0]
    split = first if split is None else split
    if split not in task.test_splits:
        raise UsageError(
            f"--split {split}: {spec.task} has no such test split: {did_you_mean(split, task.test_splits)}"
        )
    saved = predictions.load(results, spec, split, is_first=split == first)
    from bench.data.splits import open_samples  # these import torch, which a mistake in --run need not wait for
    from bench.streams.load import outline_stream

    inputs = {name: outline_stream(**source).input for name, source in sources_of(spec).items()}
    samples = open_samples(task, spec.data, data_root, inputs, split)
    chosen = sorted({list(saved)[round(i)] for i in np.linspace(0, len(saved) - 1, min(count, len(saved)))})
    try:
        drawn = [task.draw(samples, number, saved[number]) for number in chosen]
    except (LookupError, TypeError, ValueError) as error:
        raise BenchError(
            f"the predictions of {spec.label} do not fit its data: {error}; --rerun makes them again"
        ) from error
    title = draw.text(f"{record.label}, {split} split, suite {spec.suite}", max(480, drawn[0].width), size=18)
    key = draw.in_row([draw.text("true", 60, draw.TRUE), draw.text("predicted", 120, draw.PREDICTED)])
    return draw.page([title, key, *drawn]), record


def _find(run: str, results: Path) -> Record:
    store.check_exists(results)
    matches = {record.id: record for record in store.read_all(results) if record.id.startswith(run)}
    if len(matches) != 1:
        problem = f"{len(matches)} runs match: {', '.join(matches)}" if matches else "no run matches"
        folder = escape.line(str(results / store.FOLDER))
        raise UsageError(f"--run {run}: {problem} in {folder}; names of records end with the run's id")
    (record,) = matches.values()
    return record
