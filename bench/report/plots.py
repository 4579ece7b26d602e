"""Figures from records: gains over a reference, score against cost, and validation curves. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.config.describe import data_title
from bench.config.reference import REFERENCE, check_reference
from bench.errors import BenchError, UsageError, did_you_mean
from bench.files import atomic_file
from bench.records.schema import Record
from bench.report.grouping import Row, records_of_tasks, row_labels
from bench.report.standings import Gain, SectionStandings, TaskStandings, compute_standings
from bench.text import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["forest", "pareto", "curves"]
Cost = Literal["parameters", "time", "memory"]
KINDS: tuple[str, ...] = get_args(Kind)
COSTS = {  # by name: part of the record, its key, divisor, axis label
    "parameters": ("parameters", "adapter", 1, "trainable parameters of the method"),
    "time": ("times", "train", 1, "training time, seconds"),
    "memory": ("memory", "train_peak", 1e6, "peak memory in training, MB"),
}
_FORMATS = (".svg", ".png")
_COLUMNS = 3  # of panels
_INK, _FAINT = "#1f2328", "#c8ccd1"
# Okabe and Ito's colors, which people with any color vision distinguish. Black is the reference.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class _Style:
    """How all panels of a figure show one method."""

    color: str
    dashes: str
    bold: bool


def plot(
    records: Iterable[Record],
    kind: Kind = "forest",
    *,
    reference: str = REFERENCE,
    tasks: str | Iterable[str] | None = None,
    cost: Cost = "parameters",
) -> Figure:
    """Draw records as a figure with one panel for each task and condition.

    - "forest": the gain of each method over the reference with its 95% interval. A filled point is a significant gain
      or loss, by the rule of the leaderboard.
    - "pareto": mean test score against a cost. The line connects the methods that no other one beats in both.
    - "curves": validation score by epoch, the mean over seeds as a thick line and each seed as a thin one. If methods
      have different numbers of epochs, the axis shows the fraction of each run.

    Args:
        records: Records of any runs, for example from `load_records`.
        kind: "forest", "pareto" or "curves".
        reference: Label of the row in the leaderboard that gains are relative to; black in the other kinds.
        tasks: Names of one or several tasks; None for all.
        cost: The cost of "pareto": "parameters", "time" or "memory".

    Returns:
        The figure; `figure.savefig("gains.svg")` writes it.

    Raises:
        UsageError: matplotlib is not installed, an argument is unknown, or the records contain nothing to draw.
    """
    for name, value, known in (("kind", kind, KINDS), ("cost", cost, COSTS)):
        if value not in known:
            raise UsageError(f"{name} {value}: {did_you_mean(value, known)}")
    require_matplotlib()
    listed = records_of_tasks(records, tasks)
    check_reference(reference, row_labels(listed))
    standings = compute_standings(listed, reference=reference)
    if kind == "forest":
        standings = [_with_gains(section) for section in standings]
    panels = [(section, task) for section in standings for task in section.tasks if task.standings]
    if not panels:
        missing = f"no task has {reference} and another method with a common seed" if kind == "forest" else "no scores"
        raise UsageError(f"nothing to draw: {missing}")
    styles = _styles([s.row.label for _, task in panels for s in task.standings], reference)
    draw: dict[str, Callable[[Axes, TaskStandings], None]] = {
        "forest": lambda axes, task: _forest(axes, _ascending(task), task.table.metrics[0]),
        "pareto": lambda axes, task: _pareto(axes, task, styles, *COSTS[cost]),
        "curves": lambda axes, task: _curves(axes, task, styles),
    }
    heading = {"forest": f"Gain over {reference}", "pareto": "Score and cost", "curves": "Validation scores"}[kind]
    return _figure(panels, heading, draw[kind])


def forest(gains: Mapping[str, Gain], heading: str) -> Figure:
    """Draw gains in one panel, the first at the top, as in `plot(records, "forest")`, with their intervals in words.

    Args:
        gains: Gains of any rows, for example of one method on several tasks, by name.
        heading: What is compared with what.

    Raises:
        UsageError: matplotlib is not installed.
    """
    return forests({"": gains}, heading)


def forests(panels: Mapping[str, Mapping[str, Gain]], heading: str) -> Figure:
    """Draw gains in panels side by side, each as `forest` draws them.

    Args:
        panels: Gains by name of their row, by the title of the panel.
        heading: What is compared with what.

    Raises:
        UsageError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    several, rows = len(panels) > 1, max(map(len, panels.values()))
    size = (5.8 * len(panels), 1.4 + 0.3 * rows) if several else (7.6, 1.1 + 0.3 * rows)
    figure = Figure(figsize=size, layout="constrained")
    for number, (title, gains) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=9, color=_FAINT)
        _forest(axes, dict(reversed([*gains.items()])), "difference", with_intervals=True)
        if several:
            axes.set_title(_text(title), fontsize=9, loc="left")
    figure.suptitle(_text(heading), fontsize=10, fontweight="bold")
    return figure


def require_matplotlib() -> None:
    """Check that matplotlib can be imported.

    Raises:
        UsageError: It cannot.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed: pip install matplotlib") from error


def check_format(path: Path) -> None:
    """Check that a figure can be written in the format of a file's suffix.

    Raises:
        UsageError: The suffix is not .svg or .png.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"{path}: the name of a figure ends in {' or '.join(_FORMATS)}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically, as SVG or PNG by the suffix of the file. Equal figures result in equal SVG files.

    Raises:
        UsageError: The suffix is another one.
        BenchError: The file cannot be written.
    """
    import matplotlib

    check_format(path)
    suffix = path.suffix.lower()[1:]
    metadata = {"Date": None} if suffix == "svg" else None
    try:
        with atomic_file(path) as file, matplotlib.rc_context({"svg.hashsalt": "bench"}):
            figure.savefig(file, format=suffix, dpi=150, metadata=metadata)
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error}") from error


def _with_gains(section: SectionStandings) -> SectionStandings:
    """Return a section with the rows that have a gain only."""
    tasks = [TaskStandings(task.table, [s for s in task.standings if s.gain]) for task in section.tasks]
    return SectionStandings(section.section, tasks, [])


def _styles(labels: Sequence[str], reference: str) -> dict[str, _Style]:
    """Return the style of each method: the reference is black and bold."""
    colored = [label for label in dict.fromkeys(labels) if label != reference]
    styles = {
        label: _Style(_COLORS[i % len(_COLORS)], _DASHES[i // len(_COLORS) % len(_DASHES)], False)
        for i, label in enumerate(colored)
    }
    return {**styles, reference: _Style(_INK, "-", True)}


def _figure(
    panels: Sequence[tuple[SectionStandings, TaskStandings]],
    heading: str,
    draw: Callable[[Axes, TaskStandings], None],
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(len(panels), _COLUMNS)
    lines = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(2.6, 0.9 + 0.24 * max(len(task.standings) for _, task in line)) for line in lines]
    figure = Figure(figsize=(5.2 * columns, sum(heights) + 0.9), layout="constrained")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=0.04)
    grid = figure.add_gridspec(len(lines), columns, height_ratios=heights)
    sources = list(dict.fromkeys(_source(section) for section, _ in panels))
    for number, (section, task) in enumerate(panels):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, color=_FAINT)
        changed = section.section.changed
        title = [
            task.table.task,
            *([f"with {changed}"] if changed else []),
            *([_source(section)] if sources[1:] else []),
        ]
        axes.set_title(_text("\n".join(title)), fontsize=10, fontweight="bold", loc="left", wrap=True)
        draw(axes, task)
    subheading = f"\n{sources[0]}" if len(sources) == 1 else ""
    figure.suptitle(_text(f"{heading}{subheading}"), fontsize=12)
    return figure


def _source(section: SectionStandings) -> str:
    return f"suite {section.section.suite}, {data_title(section.section.data)}"


def _ascending(task: TaskStandings) -> dict[str, Gain]:
    """Return the gains of a task's methods, the smallest first."""
    gains = {standing.row.label: standing.gain for standing in task.standings if standing.gain}
    return dict(sorted(gains.items(), key=lambda item: item[1].points))


def _forest(axes: Axes, gains: Mapping[str, Gain], quantity: str, with_intervals: bool = False) -> None:
    """Draw one line per gain, from the bottom up: the gain, its interval, and one or both of them as text."""
    axes.axvline(0, color=_INK, linewidth=0.8)
    for y, gain in enumerate(gains.values()):
        color = {"better": _COLORS[2], "worse": _COLORS[1]}.get(gain.verdict, "#6e7781")
        words = f"{round(gain.points, 1) + 0.0:+.1f}"
        if gain.interval:
            low, high = gain.interval.low, gain.interval.high
            axes.plot([low, high], [y, y], color=color, linewidth=1.8, solid_capstyle="butt")
            words += f" ({low:+.1f} to {high:+.1f})" if with_intervals else ""
        filled = color if gain.verdict in ("better", "worse") else "white"
        axes.plot(gain.points, y, "o", color=color, markerfacecolor=filled, markersize=5.5, markeredgewidth=1.5)
        axes.text(1.02, y, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(gains)), [_text(label) for label in gains])
    axes.set_ylim(-0.6, len(gains) - 0.4)
    axes.grid(axis="x", color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel(_text(f"{quantity}, points; filled: significant"), fontsize=8)


def _pareto(
    axes: Axes, task: TaskStandings, styles: dict[str, _Style], part: str, key: str, unit: float, label: str
) -> None:
    """Draw a point per method, and the line of those that no other one beats in cost and score."""
    points = [
        (fmean(values) / unit, standing.mean, standing.row.label)
        for standing in task.standings
        if (values := standing.row.measures(part, key))
    ]
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel(_text(task.table.metrics[0]), fontsize=8)
    axes.grid(color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    positive = [cost for cost, _, _ in points if cost > 0]
    if not positive:
        return
    if len(positive) < len(points):  # a method without parameters of its own stands at 0
        axes.set_xscale("symlog", linthresh=min(positive) / 2, linscale=0.4)
        axes.set_xlim(-min(positive) / 10, max(positive) * 1.6)
    else:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    front: list[tuple[float, float]] = []
    for cost, score, _ in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    axes.step(*zip(*front, strict=True), where="post", color=_FAINT, linewidth=1.5, zorder=1)
    for cost, score, name in points:
        axes.plot(cost, score, "o", color=styles[name].color, markersize=6)
    _label(axes, points, styles)


def _short(value: float) -> str:
    """Return a number for an axis, as in 20, 100k, 2M."""
    unit, suffix = (1e6, "M") if value >= 1e6 else (1e3, "k") if value >= 1e3 else (1, "")
    return f"{value / unit:g}{suffix}"


def _curves(axes: Axes, task: TaskStandings, styles: dict[str, _Style]) -> None:
    """Draw a thin line per run and a thick one for the mean over seeds of each method."""
    lengths = {len(curve) for standing in task.standings for curve in _validation(standing.row)}
    ends = []
    for standing in task.standings:
        curves, style = _validation(standing.row), styles[standing.row.label]
        if not curves:
            continue
        shared = min(map(len, curves))
        mean = [fmean(curve[epoch] for curve in curves) for epoch in range(shared)]
        for curve in curves:
            axes.plot(_epochs(curve, lengths), curve, color=style.color, linewidth=0.5, alpha=0.35)
        x = _epochs(curves[0], lengths)[:shared]
        axes.plot(x, mean, style.dashes, color=style.color, linewidth=1.8)
        ends.append((x[-1], mean[-1], standing.row.label))
    axes.set_xlabel("epoch" if len(lengths) == 1 else "fraction of the run's epochs", fontsize=8)
    axes.set_ylabel(_text(f"{task.table.metrics[0]} on validation"), fontsize=8)
    axes.grid(color=_FAINT, linewidth=0.5)
    _label(axes, ends, styles)


def _validation(row: Row) -> list[list[float]]:
    """Return the validation curve of each seed in the primary metric."""
    scores = [record.scores for record in row.records if record.scores]
    return [[epoch.scores.get(entry.metric, float("nan")) for epoch in entry.validation] for entry in scores]


def _epochs(curve: Sequence[float], lengths: set[int]) -> list[float]:
    """Return the x values of a curve: epochs, or fractions of the run if the curves of a panel differ in length."""
    return [epoch if len(lengths) == 1 else epoch / len(curve) for epoch in range(1, len(curve) + 1)]


def _label(axes: Axes, points: Sequence[tuple[float, float, str]], styles: dict[str, _Style]) -> None:
    """Name points in a column to the right of the axes, each connected with its point."""
    low, high = axes.get_ylim()
    ordered = sorted(points, key=lambda point: point[1])
    heights = _spread([(y - low) / (high - low) for _, y, _ in ordered], 0.17 / _inches(axes))
    for (x, y, name), height in zip(ordered, heights, strict=True):
        style = styles[name]
        arrow: dict[str, Any] = {
            "arrowstyle": "-",
            "color": style.color,
            "linewidth": 0.5,
            "alpha": 0.6,
            "relpos": (0, 0.5),
        }
        axes.annotate(
            _text(name),
            xy=(x, y),
            xytext=(1.04, height),
            textcoords="axes fraction",
            fontsize=8,
            fontweight="bold" if style.bold else "normal",
            color=style.color,
            va="center",
            arrowprops=arrow,
            annotation_clip=False,
        )


def _inches(axes: Axes) -> float:
    """Return the height that a panel has in its row, without title and axis labels."""
    place = axes.get_subplotspec()
    assert place, "every panel is in the grid"
    heights: Any = place.get_gridspec().get_height_ratios()
    return float(heights[place.rowspan.start]) - 0.8


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return ascending heights moved as little as possible to be `gap` apart and between 0 and 1, if there is room."""
    gap = min(gap, 1 / max(len(heights) - 1, 1))
    up, down = list(heights), list(heights)
    for i in range(1, len(heights)):
        up[i] = max(up[i], up[i - 1] + gap)
        down[-1 - i] = min(down[-1 - i], down[-i] - gap)
    count = len(heights)
    middle = [(a + b) / 2 for a, b in zip(up, down, strict=True)]
    return [min(max(height, i * gap), 1 - (count - 1 - i) * gap) for i, height in enumerate(middle)]


def _text(text: str) -> str:
    """Return text as matplotlib shows it literally: without unprintable characters, and dollars not as formulas."""
    return escape.terminal(text).replace("$", r"\$")
