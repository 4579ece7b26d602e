"""Which runs of a plan are finished: those whose record was made with today's code, encoders and data."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.instantiate import task_of
from bench.config.spec import Spec
from bench.errors import BenchError
from bench.records import provenance, store
from bench.records.schema import Record

if TYPE_CHECKING:
    from bench.data.release import Contents

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Existing:
    """The records that a results folder has of a plan's runs, by id.

    Attributes:
        done: those that count: their runs are not done again.
        superseded: those whose runs are done again; None for one that cannot be read.
        changed: of these what has changed since they were made, where that is why.
    """

    done: dict[str, Record] = field(default_factory=dict)
    superseded: dict[str, Record | None] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)


def look_up(
    plan: Sequence[Spec],
    results: Path,
    data_root: Path | None = None,
    *,
    rerun: bool = False,
    retry_failed: bool = False,
    with_adapters: bool = False,
    trials: bool = False,
) -> Existing:
    """Return the records of a plan's runs, and which of them count as finished; warn where something has changed.

    Args:
        plan: the runs.
        results: the results folder.
        data_root: where the data lies; None for the user's cache folder.
        rerun: count none of them.
        retry_failed: count none that failed.
        with_adapters: count only those with a saved adapter, and those that failed.
        trials: count those of trials too, which were not scored on the test splits.

    Raises:
        BenchError: a record cannot be read, or the data or an encoder is not there or broken.
    """
    existing = Existing()
    today = _Today(data_root)
    for spec in plan:
        try:
            record = store.record_of(results, spec)
        except BenchError as error:
            if not rerun:
                raise BenchError(
                    f"{error}; rename it, or do the run again with `bench run --rerun`, which does"
                ) from error
            existing.superseded[spec.id] = None
            continue
        if record is None:
            continue
        changed = [] if rerun else today.changes(spec, record)
        if changed:
            existing.changed[spec.id] = changed
        failed = record.outcome == "failed"
        no_adapter = not failed and not (record.adapter and (results / record.adapter).is_dir())
        unscored = record.is_trial and not trials
        again = rerun or changed or unscored or (retry_failed and failed) or (with_adapters and no_adapter)
        if again:
            existing.superseded[spec.id] = record
        else:
            existing.done[spec.id] = record
    for reason, count in Counter(reason for reasons in existing.changed.values() for reason in reasons).items():
        runs = "1 run is" if count == 1 else f"{count} runs are"
        _log.warning("%s done again, since %s has changed; the earlier records stay", runs, reason)
    return existing


class _Today:
    """Today's code, encoders and data; each is looked at once for all runs that share it."""

    def __init__(self, data_root: Path | None) -> None:
        self._data_root = data_root
        self._known: dict[str, object] = {}

    def changes(self, spec: Spec, record: Record) -> list[str]:
        """Return what is no longer as a record says, in words; nothing where it does not say."""
        reasons = provenance.differences(record.provenance, self._provenance(spec))
        if record.data and (record.data.splits or spec.data["source"] == "generated"):  # older ones have names alone
            contents = self._contents(spec)
            if contents and contents.fingerprint != record.data.fingerprint:
                reasons.append("the data")
        return reasons

    def _provenance(self, spec: Spec) -> provenance.Provenance:
        key = json.dumps([spec.method, spec.task, spec.streams], sort_keys=True)
        if key not in self._known:
            self._known[key] = provenance.provenance_of(spec)
        return self._known[key]  # type: ignore[return-value]

    def _contents(self, spec: Spec) -> Contents | None:
        from bench.data import release  # brings numpy, which a plan without any record does not need

        key = json.dumps([spec.task, spec.task_settings, spec.data], sort_keys=True)
        if key not in self._known:
            task = task_of(spec)
            self._known[key] = release.present_contents(task, spec.data, self._data_root)
        return self._known[key]  # type: ignore[return-value]
