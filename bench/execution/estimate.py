"""Estimates of how long planned runs take: median wall times of earlier records of comparable runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from bench.config.recipe import PER_METHOD
from bench.config.shipped import results_folder
from bench.config.spec import Spec
from bench.records import store
from bench.records.schema import Record


@dataclass(frozen=True)
class Estimate:
    """The estimated wall time of a run.

    Attributes:
        seconds: The median wall time of the records.
        records: Earlier records of comparable runs.
        folder: The results folder that contains them.
        same_settings: Whether these runs differ in the seed and the world only; otherwise settings or learning rates of
            the method differ too.
    """

    seconds: float
    records: tuple[Record, ...]
    folder: Path
    same_settings: bool


class EarlierRuns:
    """The finished runs of several results folders, to estimate times from.

    Args:
        folders: The folders; the first one with comparable runs counts. Those that do not exist are skipped.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._records: list[tuple[Path, dict[str, list[Record]]]] = []
        for folder in folders:
            by_key: dict[str, list[Record]] = {}
            for record in store.read_all(folder) if folder.is_dir() else ():
                if record.status == "ok" and record.times and not record.times.resumed:
                    for same_settings in (True, False):
                        by_key.setdefault(_key(record.spec, same_settings), []).append(record)
            self._records.append((folder, by_key))

    def estimate(self, spec: Spec) -> Estimate | None:
        """Return the estimated wall time of a run; None if no comparable run has finished."""
        for folder, by_key in self._records:
            for same_settings in (True, False):
                if records := by_key.get(_key(spec, same_settings)):
                    seconds = median(record.times.total for record in records if record.times)
                    return Estimate(seconds, tuple(records), folder, same_settings)
        return None


def folders_with_records(results: Path) -> list[Path]:
    """Return a results folder, and then those of the package that contain records; a wheel has none."""
    shipped = [path.parent for path in sorted(results_folder().glob(f"*/{store.FOLDER}"))]
    return [results, *(folder for folder in shipped if folder.resolve() != results.resolve())]


def _key(spec: Spec, same_settings: bool) -> str:
    """Return a key that is equal for comparable runs: the specification without the seed and the world.

    Args:
        spec: The specification.
        same_settings: Whether settings and learning rates of the method are part of the key.
    """
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}  # ten times as fast as `asdict`
    del values["seed"], values["deviations"]
    values["data"] = {key: value for key, value in spec.data.items() if key != "seed"}
    if not same_settings:
        del values["settings"]
        values["recipe"] = {key: value for key, value in spec.recipe.items() if key not in PER_METHOD}
    return json.dumps(values, sort_keys=True)
