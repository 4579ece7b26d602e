"""The tables of leaderboard.html: their columns, and the notes below them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar
from xml.etree.ElementTree import Element, SubElement

from bench.report.formatting import NONE, SEEDS_ONLY, marked_gain, place, runs
from bench.report.grouping import Row, Table
from bench.report.html.table_element import Cell, Column, plain_table, table
from bench.report.notes import notes, row_notes
from bench.report.over_worlds import OverWorlds, WorldRow, WorldTable
from bench.report.overview import Overall, overall
from bench.report.split_scores import by_split
from bench.report.standings import Gain, Interval, MeanScore, Rank, SectionStandings, Standing, TaskStandings
from bench.report.tradeoff import TRADE_OFFS
from bench.report.tuning_trials import HEADER as TUNING_HEADER
from bench.report.tuning_trials import NOTE as TUNING_NOTE
from bench.report.tuning_trials import Trials

T = TypeVar("T")


def section_title(standings: SectionStandings) -> str:
    """Return the title of a section, starting with a capital letter."""
    title = standings.section.title
    return title[0].upper() + title[1:]


def task_table(task: TaskStandings, name: str, reference: str) -> Element:
    """Return the table of a task, with one row per method, followed by floors and controls.

    Args:
        task: The standings of the task.
        name: Id of the caption.
        reference: Label of the row that gains are relative to.
    """
    metrics = task.table.metrics
    columns: list[Column[Standing]] = [
        Column("", "place", "ascending", _place),
        Column("", "method", "ascending", lambda standing: _text(standing.row.label)),
        Column("score", metrics[0], "descending", lambda standing: _number(standing.mean, ".2f")),
        Column(
            "score",
            "95% interval",
            "descending",
            lambda standing: _interval(standing.interval, ".2f", standing.with_samples),
        ),
        Column("score", "seeds", "descending", lambda standing: _number(len(standing.row.records), "d")),
        *_gain_columns(f"gain over {reference}", _gain_of_standing),
        *_measure_columns(),
        *(Column("trade-off", name, "descending", _trade_off(name)) for name in TRADE_OFFS),
        *(_score_column("other scores", metric, _secondary(metric)) for metric in metrics[1:]),
        *(
            _score_column("by split", f"{metric} {split}", _split_scores(split, metric))
            for metric, split in by_split(task.table)
        ),
    ]
    caption = f"{task.table.task}: methods by {metrics[0]} on the test split"
    beneath = [(heading, f"{value:.2f}") for heading, value in task.table.beneath]
    return table(caption, name, columns, task.standings, beneath)


def split_gains_table(task: TaskStandings, name: str, reference: str) -> Element:
    """Return a table of the gains on each test split of a task that has several, with the rows of `task_table`.

    Args:
        task: The standings of the task.
        name: Id of the caption.
        reference: Label of the row that gains are relative to.
    """
    columns: list[Column[Standing]] = [
        Column("", "method", "ascending", lambda standing: _text(standing.row.label)),
        *(column for split, gains in task.split_gains.items() for column in _split_columns(split, gains)),
    ]
    caption = f"By test split: gain over {reference} (▲ better, ▼ worse)"
    frame = table(caption, name, columns, task.standings)
    frame.set("class", "frame splits")
    return frame


def _split_columns(split: str, gains: Mapping[str, Gain]) -> Iterator[Column[Standing]]:
    """Yield few columns: a telephone shows them beside the method."""

    def gain_of(standing: Standing) -> Gain | None:
        return gains.get(standing.row.label)

    def marked(standing: Standing) -> Cell:
        gain = gain_of(standing)
        return Cell(marked_gain(gain.points, gain.verdict), gain.points) if gain else Cell(NONE)

    yield Column(split, "points", "descending", marked, "marked")
    yield from (column for column in _gain_columns(split, gain_of) if column.key == "interval")


def overall_table(standings: SectionStandings, name: str, reference: str) -> Element:
    """Return a table of methods over all tasks: mean gain, mean score and rank, and the score on each task.

    Args:
        standings: The standings of a section.
        name: Id of the caption.
        reference: Label of the row that gains are relative to.
    """
    columns: list[Column[Overall]] = [
        Column("", "method", "ascending", lambda row: _text(row.label)),
        *_gain_columns(f"mean gain over {reference}", _gain_of_overall),
        Column("mean", "score", "descending", lambda row: _number(row.score.mean if row.score else None, ".2f")),
        Column(
            "mean",
            "95% interval",
            "descending",
            lambda row: _interval_of(row.score),
        ),
        Column("rank", "mean", "ascending", lambda row: _number(row.rank.mean if row.rank else None, ".2f")),
        Column("rank", "95% interval", "ascending", lambda row: _interval_of(row.rank)),
        *(_task_column(number, task) for number, task in enumerate(standings.tasks)),
    ]
    return table("All tasks: the mean over them, and the score on each", name, columns, overall(standings, reference))


def _task_column(number: int, task: TaskStandings) -> Column[Overall]:
    def cell(row: Overall) -> Cell:
        standing = row.by_task[number]
        return _number(standing.mean if standing else None, ".2f")

    return Column("score", " ".join([task.table.task, *task.table.metrics[:1]]), "descending", cell)


def worlds_table(item: OverWorlds, name: str, reference: str) -> Element:
    """Return the table of methods over several worlds, on each task.

    Args:
        item: The tables of one dataset and condition.
        name: Id of the caption.
        reference: Label of the row that gains are relative to.
    """
    columns: list[Column[tuple[WorldTable, WorldRow]]] = [
        Column("", "method", "ascending", lambda line: _text(line[1].label)),
        Column("", "task", "ascending", lambda line: _text(f"{line[0].task} {line[0].metric}".rstrip())),
        Column("score", "mean", "descending", lambda line: _number(line[1].mean, ".2f")),
        Column("score", "95% interval", "descending", lambda line: _interval(line[1].interval, ".2f")),
        Column("score", "worlds", "descending", lambda line: _number(len(line[1].worlds), "d")),
        Column("score", "seeds", "descending", lambda line: _number(line[1].seeds, "d")),
        *(column._replace(key="") for column in _gain_columns(f"gain over {reference}", _gain_of_line)),
    ]
    lines = [(table, row) for table in item.tables for row in table.rows]
    return table("Over worlds: methods with runs in several", name, columns, lines)


def published_table(rows: Sequence[Mapping[str, Any]], name: str) -> Element:
    """Return a table of figures published by others, with their sources."""

    def column(heading: str, key: str) -> Column[Mapping[str, Any]]:
        return Column("", heading, "ascending", lambda row: _plain_cell(row.get(key)))

    keys = ("task", "method", "metric", "score", "splits", "trainable_millions", "setting", "source")
    headings = {"splits": "of", "trainable_millions": "trainable (M)", "setting": "encoders"}
    columns = [column(headings.get(key, key), key) for key in keys]
    return table("Published figures, from other code, data and machines", name, columns, rows)


def settings_fold(source: Table, trials: Trials, name: str) -> Element:
    """Return the notes on a table, folded: settings, conditions, machines, limits of comparison, failed runs, tuning.

    Args:
        source: The table.
        trials: The trials of `bench tune`.
        name: Id of the caption of the table of its tuning.
    """
    lines = [*row_notes(source), *notes(source)]
    failed = f", {runs(len(source.failed))} failed" if source.failed else ""
    fold = Element("details", {"class": "settings"})
    SubElement(fold, "summary").text = f"Settings and conditions ({len(lines)} lines{failed})"
    items = SubElement(fold, "ul", {"class": "notes"})
    for line in lines:
        SubElement(items, "li").text = line
    if lines_of_tuning := trials.lines(source):
        fold.append(plain_table(TUNING_NOTE, name, TUNING_HEADER, lines_of_tuning))
    return fold


def _gain_of_standing(standing: Standing) -> Gain | None:
    return standing.gain


def _gain_of_overall(row: Overall) -> Gain | None:
    return row.gain


def _gain_of_line(line: tuple[WorldTable, WorldRow]) -> Gain | None:
    return line[1].gain


def _gain_columns(group: str, gain_of: Callable[[T], Gain | None]) -> Iterator[Column[T]]:
    def column(
        key: str, heading: str, cell: Callable[[Gain], Cell], first: Literal["ascending", "descending"]
    ) -> Column[T]:
        return Column(group, heading, first, lambda row: cell(gain) if (gain := gain_of(row)) else Cell(NONE), key)

    yield column("points", "points", lambda gain: _number(gain.points, "+.2f"), "descending")
    yield column(
        "interval", "95% interval", lambda gain: _interval(gain.interval, "+.2f", gain.with_samples), "descending"
    )
    yield column("percent", "percent", lambda gain: _number(gain.percent, "+.1f"), "descending")
    yield column("p", "p after Holm", lambda gain: _p(gain.p_holm), "ascending")
    yield column("verdict", "verdict", lambda gain: _text(gain.verdict), "ascending")


def _measure_columns() -> Iterator[Column[Standing]]:
    yield Column("adapter parameters", "trainable", "ascending", _parameters)
    yield Column("adapter parameters", "% of streams", "ascending", _measure("parameters", "percent", 1, ".2f"))
    yield Column("memory, MB", "training", "ascending", _measure("memory", "train_peak", 1e6, ",.0f"))
    yield Column("memory, MB", "scoring", "ascending", _measure("memory", "score_peak", 1e6, ",.0f"))
    yield Column("samples per second", "training", "descending", _measure("throughput", "train", 1, ",.1f"))
    yield Column("samples per second", "scoring", "descending", _measure("throughput", "score", 1, ",.1f"))


def _place(standing: Standing) -> Cell:
    return Cell(place(standing.place, standing.tied), standing.place)


def _parameters(standing: Standing) -> Cell:
    trained, in_use = (mean_of(standing.row, "parameters", name) for name in ("adapter", "active"))
    cell = _number(trained, ",.0f")
    return cell if in_use in (None, trained) else Cell(f"{cell.text} ({in_use:,.0f} in use)", cell.value)


def _measure(part: str, name: str, unit: float, pattern: str) -> Callable[[Standing], Cell]:
    return lambda standing: _number(mean_of(standing.row, part, name, unit), pattern)


def mean_of(row: Row, part: str, name: str, unit: float = 1) -> float | None:
    """Return the mean of a measurement over the row's seeds, divided by `unit`; None if no seed has it."""
    values = row.measures(part, name)
    return statistics.fmean(values) / unit if values else None


def _trade_off(name: str) -> Callable[[Standing], Cell]:
    def cell(standing: Standing) -> Cell:
        trained = mean_of(standing.row, "parameters", "adapter")
        return _number(None if trained is None else TRADE_OFFS[name].compute(standing.mean, round(trained)), ".2f")

    return cell


def _score_column(group: str, heading: str, values: Callable[[Row], list[float]]) -> Column[Standing]:
    def cell(standing: Standing) -> Cell:
        scores = values(standing.row)
        return _number(statistics.fmean(scores) if scores else None, ".2f")

    return Column(group, heading, "descending", cell)


def _secondary(metric: str) -> Callable[[Row], list[float]]:
    return lambda row: row.secondary(metric)


def _split_scores(split: str, metric: str) -> Callable[[Row], list[float]]:
    return lambda row: row.split_scores(split, metric)


def _text(text: str) -> Cell:
    return Cell(text, text)


def _number(value: float | None, pattern: str) -> Cell:
    return Cell(NONE) if value is None or not math.isfinite(value) else Cell(format(value, pattern), value)


def _interval(interval: Interval | None, pattern: str, with_samples: bool = True) -> Cell:
    """Return a cell with both ends of an interval, sorted by the lower one."""
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return Cell(NONE)
    mark = "" if with_samples else SEEDS_ONLY
    return Cell(f"{interval.low:{pattern}} to {interval.high:{pattern}}{mark}", interval.low, high=interval.high)


def _interval_of(mean: MeanScore | Rank | None) -> Cell:
    return _interval(mean.interval if mean else None, ".2f")


def _p(value: float | None) -> Cell:
    return Cell("< 0.001", value) if value is not None and value < 0.001 else _number(value, ".3f")


def _plain_cell(value: Any) -> Cell:
    """Return a cell for a value of a data file, with web addresses as links."""
    if isinstance(value, int | float):
        return Cell(str(value), value)
    text = NONE if value is None else str(value)
    return Cell(text, text, text if text.startswith(("https://", "http://")) else None)
