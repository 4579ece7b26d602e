"""Look up the finished runs of a plan: those with a record of the present code, encoders and data."""

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
    """The existing records of a plan's runs, by id.

    Attributes:
        finished: The records that count; their runs are not repeated.
        superseded: The records whose runs are repeated; None for a record that cannot be read.
        changed: What has changed since a superseded record was made, if that is why its run is repeated.
    """

    finished: dict[str, Record] = field(default_factory=dict)
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
    """Return the existing records of a plan's runs, and warn if code, encoders or data have changed since.

    Args:
        plan: The runs.
        results: The results folder.
        data_root: Folder of the data; None for the user's cache folder.
        rerun: Repeat all runs.
        retry_failed: Repeat failed runs.
        with_adapters: Repeat successful runs without a saved adapter.
        trials: Count records of trials too, which have no test scores, and repeat those that the machine failed, which
            say nothing about the values that were tried.

    Raises:
        BenchError: A record cannot be read, or the data or an encoder is missing or broken.
    """
    existing = Existing()
    present = _Present(data_root)
    for spec in plan:
        try:
            record = store.record_of(results, spec)
        except BenchError as error:
            if not rerun:
                raise BenchError(
                    f"{error}; rename the file, or repeat the run with `bench run --rerun`, which renames it"
                ) from error
            existing.superseded[spec.id] = None
            continue
        if record is None:
            continue
        changed = [] if rerun else present.changes(spec, record)
        if changed:
            existing.changed[spec.id] = changed
        failed = record.outcome == "failed"
        no_adapter = not failed and not (record.adapter and (results / record.adapter).is_dir())
        unscored = record.is_trial and not trials
        retried = failed and (retry_failed or (trials and record.machine_failed))
        if rerun or changed or unscored or retried or (with_adapters and no_adapter):
            existing.superseded[spec.id] = record
        else:
            existing.finished[spec.id] = record
    for reason, count in Counter(reason for reasons in existing.changed.values() for reason in reasons).items():
        runs = "1 run is" if count == 1 else f"{count} runs are"
        _log.warning("%s repeated, since %s has changed; the earlier records are kept", runs, reason)
    return existing


class _Present:
    """The present code, encoders and data, each read once for all runs that share it."""

    def __init__(self, data_root: Path | None) -> None:
        self._data_root = data_root
        self._cache: dict[str, object] = {}

    def changes(self, spec: Spec, record: Record) -> list[str]:
        """Return what differs from a record, in words; nothing is assumed of what the record does not contain."""
        reasons = provenance.differences(record.provenance, self._provenance(spec))
        if record.data and (
            record.data.splits or spec.data["source"] == "generated"
        ):  # older records of official data have only file names
            contents = self._contents(spec)
            if contents and contents.fingerprint != record.data.fingerprint:
                reasons.append("the data")
        return reasons

    def _provenance(self, spec: Spec) -> provenance.Provenance:
        key = json.dumps([spec.method, spec.task, spec.streams], sort_keys=True)
        if key not in self._cache:
            self._cache[key] = provenance.provenance_of(spec)
        return self._cache[key]  # type: ignore[return-value]

    def _contents(self, spec: Spec) -> Contents | None:
        from bench.data import release  # imports numpy, which a plan without any record does not need

        key = json.dumps([spec.task, spec.task_settings, spec.data], sort_keys=True)
        if key not in self._cache:
            task = task_of(spec)
            self._cache[key] = release.present_contents(task, spec.data, self._data_root)
        return self._cache[key]  # type: ignore[return-value]
