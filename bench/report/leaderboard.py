"""The leaderboard in Markdown: scores and costs of the methods on each task, and an overview of all tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.config.reference import REFERENCE
from bench.report.families import families_note
from bench.report.formatting import NONE, SEEDS_ONLY, average, marked_gain, number, p_value, place, runs, score
from bench.report.grouping import Row, Table
from bench.report.multi_task import multi_task_tables
from bench.report.notes import notes, row_notes
from bench.report.over_worlds import NOTE, OverWorlds, over_worlds
from bench.report.overview import Overall, has_overview, overall
from bench.report.published import published_notes
from bench.report.split_scores import by_split
from bench.report.standings import Gain, Interval, SectionStandings, Standing, TaskStandings
from bench.report.suite_settings import SuiteSettings
from bench.report.tradeoff import FORMULAS, TRADE_OFFS
from bench.report.tuning_trials import HEADER as TUNING_HEADER
from bench.report.tuning_trials import NOTE as TUNING_NOTE
from bench.report.tuning_trials import Trials
from bench.text import escape, markdown

_LEGEND = """- **Score**: over all test samples, at the epoch with the best validation score; the mean over seeds.
  ± is the standard deviation over seeds.
- **95% interval**: over other seeds and other test samples; over other seeds only, marked °, where the scores of single
  samples are not stored. It needs three seeds.
- **Gain**: the mean difference from {reference} over the seeds that both have. Differences are paired, since runs of
  one seed share the data, its order and the initial head. The percentage is relative to {reference}'s mean.
- **p**: of the same rule as the interval, after Holm's correction over the table. **Verdict**: better or worse if p is
  below 0.05. In a table of equal methods there is any such verdict with a probability of at most 0.05.
- **≈ best**: one of several methods that cannot be told from the best by the same rule, with all pairs compared. They
  are not ranked. With fewer seeds, or seeds that vary more, a lower mean cannot be told from the best, either.
- **All tasks**: means over the tasks, of methods and seeds that all tasks have; ▲ and ▼ mark gains that are better or
  worse. Tasks of one family weigh as one: a mean is first taken within each family, then over families.
- **Mean rank**: by score, with a 95% bootstrap interval over seeds, and over samples if their scores are stored.
- **Parameters**: trainable parameters; some methods mask a part, and the rest is in use at the end. The percentage is
  that of the method relative to the streams. Memory is the peak in MB, speed is in samples per second; merged is the
  speedup of scoring after everything mergeable is folded into the encoders.
{trade_offs}
- **Floor**: a baseline that does not combine all modalities: a constant answer, or an oracle that lacks at least one.
  An oracle does not know which answers are frequent, so it may score below the constant answer.
  **Control**: a method trained and scored with some modalities only, while the others are the same for every sample."""

_COSTS = (  # heading, part of the record, its key, unit, format
    ("adapter", "parameters", "adapter", 1, ",.0f"),
    ("in use", "parameters", "active", 1, ",.0f"),
    ("head", "parameters", "head", 1, ",.0f"),
    ("% of streams", "parameters", "percent", 1, ".2f"),
    ("train MB", "memory", "train_peak", 1e6, ",.0f"),
    ("score MB", "memory", "score_peak", 1e6, ",.0f"),
    ("train /s", "throughput", "train", 1, ",.1f"),
    ("score /s", "throughput", "score", 1, ",.1f"),
)
GAIN_HEADER = ["gain", "95% interval", "gain %", "p", "verdict"]
WORLDS_HEADER = ["method", "task", "score", "95% interval", "worlds", "seeds", *GAIN_HEADER]


def leaderboard(
    standings: Sequence[SectionStandings], published: Sequence[Mapping[str, Any]] = (), reference: str = REFERENCE
) -> str:
    """Return the leaderboard in Markdown. Tables never mix suites, data sources, recipes or settings.

    Args:
        standings: The standings of the records.
        published: Rows of `bench.report.published`, for a section of their own.
        reference: Label of the row that gains are relative to.
    """
    tables = [task.table for section in standings for task in section.tasks]
    failed = sum(len(table.failed) for table in tables)
    total = sum(len(table.runs) for table in tables)
    counts = f"{total} runs, {failed or 'none'} of them failed. Written by `bench leaderboard`."
    parts = ["# Leaderboard", counts]
    settings = SuiteSettings()
    for section in filter(has_overview, standings):
        parts += _overview(section, reference, settings)
    for item in over_worlds(standings, reference):
        parts.append(markdown.heading(2, f"Over worlds: {item.title}"))
        parts += map(markdown.paragraph, filter(None, [NOTE, settings.tasks(item.section.tables)]))
        parts.append(markdown.table(WORLDS_HEADER, worlds_lines(item)))
        parts += map(markdown.paragraph, filter(None, [item.left_out()]))
    parts += ["## How to read it", _legend(reference)]
    trials = Trials.beside(standings)
    for section in standings:
        parts += _section(section, reference, trials, settings)
    if published:
        parts += [
            "## Reported elsewhere",
            "Not measured here: figures published by others, from single runs unless noted.",
        ]
        parts += map(markdown.paragraph, published_notes(published))
        parts.append(_published_table(published))
    return "\n\n".join(parts) + "\n"


def _legend(reference: str) -> str:
    formulas = "\n".join(
        f"- **{name}**: {escape.markdown(formula)}. The parameters are those of the method."
        for name, formula in FORMULAS.items()
    )
    return _LEGEND.replace("{trade_offs}", formulas).replace("{reference}", escape.markdown(reference))


def _section(standings: SectionStandings, reference: str, trials: Trials, settings: SuiteSettings) -> list[str]:
    section = standings.section
    title = section.title
    parts = [markdown.heading(2, f"{title[0].upper()}{title[1:]}")]
    for task in standings.tasks:
        parts.append(markdown.heading(3, f"{task.table.task}: {title}"))
        if changes := settings.changes(task.table):
            parts.append(markdown.paragraph(changes))
        if task.standings:
            parts += [_scores_table(task), *_split_gains_table(task, reference), _costs_table(task)]
            parts += _metrics_table(task.table)
        parts.append(_notes(task.table, trials))
    for heading, lines in multi_task_tables(section):
        parts += [markdown.heading(3, f"{heading}: {title}"), lines]
    return parts


def _notes(table: Table, trials: Trials) -> str:
    """Return the settings of the rows, the notes on a table, and what its tuning chose, folded."""
    lines = [*row_notes(table), *notes(table)]
    failed = f", {runs(len(table.failed))} failed" if table.failed else ""
    parts = [markdown.bullets(lines)]
    if choices := trials.lines(table):
        parts += [markdown.paragraph(TUNING_NOTE), markdown.table(TUNING_HEADER, choices)]
    return markdown.fold(f"Settings and conditions ({len(lines)} lines{failed})", "\n\n".join(parts))


def _scores_table(task: TaskStandings) -> str:
    header = ["method", "place", task.table.metrics[0], "95% interval", "seeds", *GAIN_HEADER]
    lines = [
        [
            standing.row.label,
            place(standing.place, standing.tied),
            score([standing.mean]),
            interval(standing.interval, with_samples=standing.with_samples),
            str(len(standing.row.records)),
            *gain_cells(standing.gain),
        ]
        for standing in task.standings
    ]
    for name, value in task.table.beneath:
        lines.append([name, "", score([value]), *[""] * (len(header) - 3)])
    return markdown.table(header, lines)


def _split_gains_table(task: TaskStandings, reference: str) -> Iterable[str]:
    """Yield the gains on each test split with what they are, if there are several."""
    if not (splits := task.split_gains):
        return
    yield markdown.paragraph(
        f"Gain over {reference} on each test split, in points of {task.table.metrics[0]}; verdicts (▲ better, ▼ worse, "
        "undecided without a mark) are after Holm's correction over all gains of this table."
    )
    header = ["method", *(heading for split in splits for heading in (split, "95% interval"))]
    lines = [
        [label, *(cell for of_label in splits.values() for cell in _short_gain_cells(of_label.get(label)))]
        for standing in task.standings
        if (label := standing.row.label) != reference
    ]
    yield markdown.table(header, lines)


def interval(bounds: Interval | None, pattern: str = ".2f", *, with_samples: bool = True) -> str:
    """Return an interval as text: "68.10 to 71.90", marked if it is over other seeds only."""
    if bounds is None:
        return NONE
    return f"{bounds.low:{pattern}} to {bounds.high:{pattern}}{'' if with_samples else SEEDS_ONLY}"


def gain_cells(gain: Gain | None) -> list[str]:
    """Return the cells of a gain, in the order of `GAIN_HEADER`; dashes for None."""
    if gain is None:
        return [NONE] * len(GAIN_HEADER)
    return [
        f"{gain.points:+.2f}",
        interval(gain.interval, "+.2f", with_samples=gain.with_samples),
        number(gain.percent, "+.1f"),
        p_value(gain.p_holm),
        gain.verdict,
    ]


def _costs_table(task: TaskStandings) -> str:
    header = ["method", *(cost[0] for cost in _COSTS), "merged", *TRADE_OFFS]
    return markdown.table(header, [_costs(standing) for standing in task.standings])


def _costs(standing: Standing) -> list[str]:
    row = standing.row
    adapter = row.measures("parameters", "adapter")
    return [
        row.label,
        *(
            average([value / unit for value in row.measures(part, name)], pattern)
            for _, part, name, unit, pattern in _COSTS
        ),
        _merged(row),
        *(
            score([trade_off.compute(standing.mean, round(adapter[0]))]) if adapter else NONE
            for trade_off in TRADE_OFFS.values()
        ),
    ]


def _merged(row: Row) -> str:
    speeds = [record.throughput for record in row.records if record.throughput]
    ratios = [
        speed.score_merged / speed.score_unmerged for speed in speeds if speed.score_merged and speed.score_unmerged
    ]
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    return f"{average(finite, '.2f')}x" if finite else NONE


def _metrics_table(table: Table) -> Iterable[str]:
    """Yield tables of the other metrics and, if there are several test splits, of each split, as mean ± deviation."""
    if columns := by_split(table):
        header = [f"{metric} {split}" for metric, split in columns]
        lines = [[row.split_scores(split, metric) for metric, split in columns] for row in table.rows]
        yield _deviations(table, header, lines)
    if secondary := table.metrics[1:]:
        yield _deviations(table, secondary, [[row.secondary(metric) for metric in secondary] for row in table.rows])


def _deviations(table: Table, header: Sequence[str], lines: Sequence[Sequence[Sequence[float]]]) -> str:
    labelled = [
        [row.label, *(score(values, with_deviation=True) for values in line)]
        for row, line in zip(table.rows, lines, strict=True)
    ]
    return markdown.table(["method", *header], labelled)


def _overview(standings: SectionStandings, reference: str, settings: SuiteSettings) -> Iterable[str]:
    """Yield the tables over all tasks of a section: gains, in the mean and on each, and scores."""
    rows = overall(standings, reference)
    tasks = [task.table for task in standings.tasks]
    yield markdown.heading(2, f"All tasks: {standings.section.title}")
    for note in filter(None, [families_note([table.task for table in tasks]), settings.tasks(tasks)]):
        yield markdown.paragraph(note)
    if any(row.gain for row in rows):
        header = ["method", f"mean {GAIN_HEADER[0]}", *GAIN_HEADER[1:], *(table.task for table in tasks)]
        gains = [
            [row.label, *gain_cells(row.gain), *(_marked(item.gain if item else None) for item in row.by_task)]
            for row in rows
        ]
        yield markdown.table(header, gains)
    header = ["method", "mean score", "95% interval", "mean rank", "95% interval"]
    columns = [" ".join([table.task, *table.metrics[:1]]) for table in tasks]
    yield markdown.table([*header, *columns], [_mean_cells(row) for row in rows])


def worlds_lines(item: OverWorlds) -> list[list[str]]:
    """Return the cells of the tables over worlds, in the order of `WORLDS_HEADER`."""
    return [
        [
            *(row.label, f"{table.task} {table.metric}".rstrip()),
            *(score([row.mean]), interval(row.interval), str(len(row.worlds)), str(row.seeds)),
            *gain_cells(row.gain),
        ]
        for table in item.tables
        for row in table.rows
    ]


def _short_gain_cells(gain: Gain | None) -> list[str]:
    bounds = interval(gain.interval, "+.2f", with_samples=gain.with_samples) if gain else NONE
    return [_marked(gain), bounds]


def _marked(gain: Gain | None) -> str:
    return marked_gain(gain.points, gain.verdict) if gain else NONE


def _mean_cells(row: Overall) -> list[str]:
    return [
        row.label,
        score([row.score.mean]) if row.score else NONE,
        interval(row.score.interval) if row.score else NONE,
        f"{row.rank.mean:.2f}" if row.rank else NONE,
        interval(row.rank.interval) if row.rank else NONE,
        *(score(standing.row.primary, with_deviation=True) if standing else NONE for standing in row.by_task),
    ]


def _published_table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ("method", "task", "metric", "score", "splits", "trainable_millions", "setting", "source")
    header = ["method", "task", "metric", "score", "of", "trainable (M)", "encoders", "source"]
    return markdown.table(
        header, [[str(row[name] if row[name] is not None else NONE) for name in columns] for row in rows]
    )
