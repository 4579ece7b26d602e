"""Where a run's data comes from: its samples decoded once and kept, or read as they are needed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from bench.data import release
from bench.data.decoded_cache import prepare
from bench.data.loader import ConstantInputs, Decoded
from bench.errors import DataError
from bench.progress import bar
from bench.records.provenance import code_of
from bench.streams.inputs import Input, TextInput
from bench.streams.sources import encoder_checksum
from bench.system import checksums
from bench.tasks.base import Samples, Task

_log = logging.getLogger(__name__)
_kept: dict[Any, Splits] = {}


@dataclass(frozen=True)
class Splits:
    """A task's data, ready to be trained on.

    Attributes:
        samples: each split as the task gives it.
        datasets: each split as tensors.
        fingerprint: checksum of what the data is made from.
        skipped: samples, and entries of the annotations, left out because they could not be read.
        floors: primary test scores that need not both modalities, in percent, by what would get them.
        checksums: of the samples of each split that are used.
    """

    samples: Mapping[str, Samples]
    datasets: Mapping[str, Dataset[dict[str, Tensor]]]
    fingerprint: str
    skipped: int
    floors: Mapping[str, float]
    checksums: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Samples of each split."""
        return {split: len(data) for split, data in self.datasets.items()}  # type: ignore[arg-type]


def open_splits(
    task: Task,
    source: Mapping[str, Any],
    data_root: Path | None,
    inputs: Mapping[str, Input],
    train_share: float = 1.0,
) -> Splits:
    """Return the task's splits, from the official release or the embedded generator.

    Runs that ask for the same data, as those of one task in one command do, share it.

    Args:
        task: the task.
        source: the specification's `data`.
        data_root: folder of the release, or of the generated data's cache; None for the user's cache folder.
        inputs: what each stream reads.
        train_share: share of the training split that is used; `samples` has all of it nevertheless.

    Raises:
        DataError: a file is missing or broken.
        UsageError: the official release is asked for but not where it lies.
        BenchError: the generated data cannot be written.
    """
    root, floors = release.locate(task, source, data_root)
    contents = release.contents(task, source, root)
    key = (type(task), repr(task), repr(source), data_root, repr(inputs), train_share, repr(contents))
    if key not in _kept:
        _kept.clear()  # a plan runs task by task: what another task needed is not needed again
        # A release is never written to; generated data and what is made of it lie together.
        cache = data_root if data_root and source["source"] == "generated" else checksums.user_cache()
        _kept[key] = _open(
            task, source, root, contents, floors=floors, cache=cache, inputs=inputs, train_share=train_share
        )
    return _kept[key]


def open_samples(
    task: Task, source: Mapping[str, Any], data_root: Path | None, inputs: Mapping[str, Input], split: str
) -> Samples:
    """One split as the task gives it, to be read sample by sample; with the arguments and errors of `open_splits`."""
    samples = task.samples(release.locate(task, source, data_root)[0], split, inputs)
    _left_out(source, [samples])
    return samples


def _left_out(source: Mapping[str, Any], splits: Iterable[Samples]) -> list[str]:
    """What is wrong with entries of the annotations, which are no samples therefore; the same of several splits once.

    Raises:
        DataError: with the first, unless the specification's `data` says that they are to be skipped.
    """
    problems = list(dict.fromkeys(str(problem) for samples in splits for problem in getattr(samples, "left_out", ())))
    if problems and not source.get("skip_unreadable"):
        more = f"; {len(problems) - 1:,} more: `bench data verify` names them all" if len(problems) > 1 else ""
        raise DataError(problems[0] + more)
    for problem in problems:
        _log.warning("left out: %s", problem)
    return problems


def _open(
    task: Task,
    source: Mapping[str, Any],
    root: Path,
    contents: release.Contents,
    *,
    floors: Mapping[str, float],
    cache: Path,
    inputs: Mapping[str, Input],
    train_share: float,
) -> Splits:
    samples = {split: task.samples(root, split, inputs) for split in ("train", "val", *task.test_splits)}
    datasets: dict[str, Dataset[dict[str, Tensor]]] = {}
    used = {}
    skipped = len(_left_out(source, samples.values()))
    for split, its in samples.items():
        chosen = share(its, train_share) if split == "train" else range(len(its))
        readable = _readable(its, chosen) if source.get("skip_unreadable") else chosen
        if not readable:
            raise DataError(f"{task.benchmark} {split} of {root}: no samples")
        skipped += len(chosen) - len(readable)
        used[split] = release.with_samples(contents.splits[split], [its.names[index] for index in readable])
        progress = partial(bar, desc=f"reading {task.benchmark} {split}", unit="batch")
        prepared = prepare(its, readable, (*_decoded_from(task, inputs), used[split]), cache, progress)
        datasets[split] = data = prepared or Decoded(its, readable)
        if wrong := task.flaw(its, ((number, data[at]) for at, number in enumerate(readable))):
            raise DataError(f"{task.benchmark} {split} of {root}: {wrong}; `bench data verify` looks at every file")
    if kept := source.get("streams"):
        datasets = _without(datasets, [column for name in inputs.keys() - kept for column in task.columns(name)])
    return Splits(samples, datasets, contents.fingerprint, skipped, floors, used)


def _decoded_from(task: Task, inputs: Mapping[str, Input]) -> tuple[object, ...]:
    """What decoded samples depend on besides the release: the task and its code, what streams read, and tokenizers."""
    texts = [each for each in inputs.values() if isinstance(each, TextInput)]
    tokenizers = [encoder_checksum(text.tokenizer, weights=False) for text in texts]
    return task, code_of(type(task)).checksum, inputs, tokenizers


def _without(
    datasets: Mapping[str, Dataset[dict[str, Tensor]]], columns: Sequence[str]
) -> dict[str, Dataset[dict[str, Tensor]]]:
    """The splits, in which these columns hold for every input of every sample what they do for training's first one.

    For every input the same: the ten seconds of one video would tell of each second which one it is.
    """
    first = datasets["train"][0]
    found: dict[str, Dataset[dict[str, Tensor]]] = {}
    for split, data in datasets.items():
        like = data[0]
        same = {name: _repeated(first[name], like[name]) for name in columns if name in like}
        found[split] = ConstantInputs(data, same)
    return found


def _repeated(values: Tensor, like: Tensor) -> Tensor:
    """Return the first of values (T, ...), as often as `like` (T, ...) holds one; a lone number as it is."""
    return values[:1].expand(len(like), *values.shape[1:]) if values.ndim else values


def share(samples: Samples, of_all: float) -> Sequence[int]:
    """Which samples make up a share of a split, in the split's order: what they are taken from, drawn by its name.

    So the draw depends on no seed and no order, and a larger share holds all of a smaller one.

    Args:
        samples: the split.
        of_all: share of what the samples are taken from (see `Samples.groups`), in (0, 1]; at least one stays.
    """
    if of_all == 1:
        return range(len(samples))
    taken_from = getattr(samples, "groups", None) or samples.names
    drawn = sorted(set(taken_from), key=lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).digest())
    kept = set(drawn[: max(1, round(of_all * len(drawn)))])
    return [index for index, name in enumerate(taken_from) if name in kept]


def _readable(samples: Samples, chosen: Sequence[int]) -> Sequence[int]:
    readable = []
    for index in bar(chosen, "looking for unreadable samples"):
        try:
            samples[index]
        except DataError as error:
            _log.warning("left out: %s", error)
        else:
            readable.append(index)
    return readable
