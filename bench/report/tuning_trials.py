"""The luck of tuning: what the trials of `bench tune` scored at the chosen settings, and at the second-best ones.

A search takes the settings with the best validation score, which is partly chance. The trials' records say how much it
would have cost to take the next ones, and whether each seed of the search by itself would have chosen alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from bench.config.describe import assignments
from bench.config.instantiate import method_of
from bench.config.spec import without_path
from bench.errors import BenchError
from bench.records.schema import Record
from bench.records.store import TRIALS, read_all
from bench.report.grouping import RATES, Row, Table, method_settings
from bench.report.standings import SectionStandings

HEADER = ("method", "chosen", "validation", "second best", "validation", "lower by", "trials", "seeds that agree")
NOTE = (
    "Tuning, by validation scores in the mean over its seeds: what the chosen settings scored, what the best of the "
    "other trials did, and how many seeds would have chosen the same by themselves."
)
_DIGITS = 6  # of scores, as in the search: with as many right answers they are equal whatever the order of summation


@dataclass(frozen=True)
class Choice:
    """What a search chose for a row, by validation scores in the mean over its seeds.

    Attributes:
        values: The chosen values of what was searched.
        score: Their score.
        second: The values of the best other trial; None if there is none.
        second_score: Their score.
        trials: Number of trials without a failed run.
        seeds: Number of seeds of each trial.
        agreeing: How many of these seeds have their own best score at the chosen values.
    """

    values: Mapping[str, Any]
    score: float
    second: Mapping[str, Any] | None
    second_score: float | None
    trials: int
    seeds: int
    agreeing: int

    @property
    def cells(self) -> list[str]:
        """The cells of a table's line, after the method's."""
        has_second = self.second is not None and self.second_score is not None
        return [
            assignments(self.values),
            f"{self.score:.2f}",
            assignments(self.second or {}) or "none",
            f"{self.second_score:.2f}" if has_second else "",
            f"{self.score - (self.second_score or 0.0):.2f}" if has_second else "",
            str(self.trials),
            f"{self.agreeing} of {self.seeds}" if self.seeds > 1 else "one seed only",
        ]


class Trials:
    """The trials of `bench tune` beside the records of tables.

    Args:
        records: Records of trials, in the order of the trials.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records: dict[bytes, list[Record]] = {}
        for record in records:
            self._records.setdefault(_key(record), []).append(record)

    @classmethod
    def beside(cls, standings: Iterable[SectionStandings]) -> Trials:
        """Return the trials in the results folders that the records of tables are from."""
        folders: dict[Path, None] = {}
        for section in standings:
            for task in section.tasks:
                folders |= {record.file.results: None for record in task.table.records if record.file.results}
        places = (folder / TRIALS for folder in folders)
        return cls(record for place in places if place.is_dir() for record in read_all(place, trials=True))

    def choice(self, row: Row) -> Choice | None:
        """Return what the search of a row's settings chose; None if it was not tuned, or without its trials."""
        tuned = next((record for record in row.records if record.tuned), None)
        if tuned is None or tuned.tuned is None:
            return None
        tuning = tuned.tuned.get("tuning", {})
        searched = _searched(tuned)
        scores: dict[bytes, dict[int, float | None]] = {}
        values: dict[bytes, dict[str, Any]] = {}
        for record in self._records.get(_key(tuned, tuning.get("epochs")), ()):
            if record.spec.seed in tuning.get("seeds", ()):
                chosen = _part(record, searched)
                scores.setdefault(_encoded(chosen), {})[record.spec.seed] = _validation(record)
                values[_encoded(chosen)] = chosen
        seeds = sorted({seed for by_seed in scores.values() for seed in by_seed})
        complete = {
            key: [score for seed in seeds if (score := by_seed.get(seed)) is not None]
            for key, by_seed in scores.items()
        }
        complete = {key: of_seeds for key, of_seeds in complete.items() if len(of_seeds) == len(seeds)}
        means = {key: round(fmean(of_seeds), _DIGITS) for key, of_seeds in complete.items()}
        first = _encoded(_part(tuned, searched))
        if first not in means:
            return None
        second = max((key for key in means if key != first), key=lambda key: means[key], default=None)
        best_of_seeds = [max(complete, key=lambda key: complete[key][number]) for number in range(len(seeds))]
        return Choice(
            values[first],
            means[first],
            None if second is None else values[second],
            None if second is None else means[second],
            len(means),
            len(seeds),
            best_of_seeds.count(first),
        )

    def lines(self, table: Table) -> list[list[str]]:
        """Return a line for each row of a table that was tuned, with the cells of `HEADER`."""
        return [[row.label, *choice.cells] for row in table.rows if (choice := self.choice(row))]


def _key(record: Record, epochs: Any = None) -> bytes:
    """Return a key that a run shares with the trials of the search that chose its settings.

    Args:
        record: The run, or a trial.
        epochs: The epochs of the trials, where they are not those of the run.
    """
    spec, searched = record.spec, _searched(record)
    settings = {name: value for name, value in method_settings(record).items() if name not in searched}
    recipe = {name: value for name, value in spec.recipe.items() if name not in (*settings, *searched)}
    recipe |= {"epochs": epochs} if isinstance(epochs, int) else {}
    rest = [spec.suite, spec.task, spec.method, settings, spec.task_settings, recipe, spec.streams]
    return _encoded([*rest, without_path(spec.data)])


def _searched(record: Record) -> tuple[str, ...]:
    """Return the names of the settings that `bench tune` searches for the method of a run."""
    try:
        return tuple(method_of(record.spec).search)
    except BenchError:  # the method no longer exists, or takes other settings
        return RATES


def _part(record: Record, names: Iterable[str]) -> dict[str, Any]:
    settings = method_settings(record)
    return {name: settings[name] for name in names if name in settings}


def _validation(record: Record) -> float | None:
    """Return the best primary validation score of a trial; None if it failed or the score is not finite."""
    if record.scores is None:
        return None
    score = record.scores.validation[record.scores.best_epoch - 1].scores[record.scores.metric]
    return score if math.isfinite(score) else None


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
