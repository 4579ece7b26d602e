"""Figures show the numbers of the leaderboard."""

from __future__ import annotations

import dataclasses
import sys
import zlib
from itertools import pairwise
from xml.etree import ElementTree

import made_standings
import pytest

import bench
from bench import cli
from bench.errors import UsageError
from bench.records import store
from bench.report.plots import _spread, forest, save_figure
from bench.report.standings import compute_standings

pytest.importorskip("matplotlib")


@pytest.fixture
def records():
    """Records of four methods on two tasks, whose gains vary with the seed."""

    def uneven(record, change):
        scores = record.scores
        return dataclasses.replace(
            record, scores=dataclasses.replace(scores, test={scores.metric: record.test_score + change})
        )

    return [uneven(record, zlib.crc32(record.stem.encode()) % 100 / 25) for record in made_standings.records()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_forest_has_the_gains_and_verdicts_of_the_leaderboard(records):
    figure = bench.plot(records, "forest", reference="cola")
    (section,) = compute_standings(records, reference="cola")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ave", "avs"]
    for axes, task in zip(figure.axes, section.tasks, strict=True):
        gains = {standing.row.label: standing.gain for standing in task.standings if standing.gain}
        labels = [label.get_text() for label in axes.get_yticklabels()]
        points = [line for line in axes.lines if line.get_marker() == "o"]
        bars = [line for line in axes.lines[1:] if line.get_marker() != "o"]
        assert {*labels} == {*gains} == {*made_standings.METHODS} - {"cola"}
        for label, point, bar in zip(labels, points, bars, strict=True):
            gain = gains[label]
            assert point.get_xdata()[0] == gain.points
            assert [*bar.get_xdata()] == [gain.interval.low, gain.interval.high]
            assert (point.get_markerfacecolor() == "white") == (gain.verdict == "undecided")
        assert texts(axes) == [f"{gains[label].points:+.1f}" for label in labels]
    assert {gain.verdict for gain in gains.values()} > {"worse"}, "both kinds of points are checked"


def test_gains_of_any_rows_are_one_panel_from_top_to_bottom(records, tmp_path):
    (section,) = compute_standings(records, reference="head")
    gains = {task.table.task: next(s.gain for s in task.standings if s.gain) for task in section.tasks}
    gains["few"] = dataclasses.replace(gains["ave"], interval=None, verdict="too few seeds")
    figure = forest(gains, "one method over head")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["few", "avs", "ave"]
    written = [
        f"{g.points:+.1f} ({g.interval.low:+.1f} to {g.interval.high:+.1f})" for g in gains.values() if g.interval
    ]
    assert texts(axes) == [f"{gains['few'].points:+.1f}", *reversed(written)]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    decided = [gain.verdict in ("better", "worse") for gain in reversed(gains.values())]
    assert [point.get_markerfacecolor() != "white" for point in points] == decided and True in decided
    save_figure(figure, tmp_path / "gains.svg")


def test_pareto_shows_score_and_cost_and_who_is_not_beaten():
    records = made_standings.records()
    (axes,) = bench.plot(records, "pareto", tasks="ave").axes
    front, *points = axes.lines
    (section,) = compute_standings(records)
    expected = {
        (standing.row.records[0].parameters.adapter, standing.mean)
        for task in section.tasks
        for standing in task.standings
        if task.table.task == "ave"
    }
    assert {(line.get_xdata()[0], line.get_ydata()[0]) for line in points} == expected
    assert {*texts(axes)} == {*made_standings.METHODS}
    best = {(x, y) for x, y in expected if not any(a <= x and b > y for a, b in expected)}
    assert {*zip(front.get_xdata(), front.get_ydata(), strict=True)} == best and len(best) < len(expected)
    (memory,) = bench.plot(records, "pareto", tasks="ave", cost="memory").axes
    assert {line.get_xdata()[0] for line in memory.lines[1:]} == {m[2] for m in made_standings.METHODS.values()}


def test_curves_show_each_seed_and_the_mean(records):
    (axes,) = bench.plot(records, "curves", tasks=["ave"]).axes
    assert axes.get_xlabel() == "epoch" and len(axes.lines) == 4 * (3 + 1)
    cola = [record for record in records if (record.spec.method, record.spec.task) == ("cola", "ave")]
    curves = [[epoch.scores["accuracy"] for epoch in record.scores.validation] for record in cola]
    drawn = [[*line.get_ydata()] for line in axes.lines]
    assert all(curve in drawn for curve in curves)
    assert [pytest.approx(sum(scores) / 3) for scores in zip(*curves, strict=True)] in drawn


def test_curves_of_different_lengths_share_an_axis_of_fractions(records):
    longer = [made_standings.record(made_standings.spec("head", "ave", 7), epochs=20)]
    (axes,) = bench.plot([*records, *longer], "curves", tasks="ave").axes
    assert axes.get_xlabel() == "fraction of the run's epochs"
    assert all(line.get_xdata()[-1] <= 1 for line in axes.lines)


@pytest.mark.parametrize("kind", ["forest", "pareto", "curves"])
def test_a_command_writes_equal_files_for_equal_records(records, kind, tmp_path, capsys):
    for record in records:
        store.write(record, tmp_path)
    options = ["plot", "--kind", kind, "--results", str(tmp_path), "--reference", "head"]
    assert cli.main(options) == 0
    first = tmp_path / f"{kind}.svg"
    assert capsys.readouterr().out == f"{kind}: {first}\n"
    root = ElementTree.fromstring(first.read_bytes())
    assert root.tag.endswith("svg") and b"<dc:date>" not in first.read_bytes()
    assert cli.main([*options, "--out", str(tmp_path / "b.svg")]) == 0
    assert (tmp_path / "b.svg").read_bytes() == first.read_bytes()
    assert cli.main([*options, "--tasks", "ave", "--out", str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_foreign_text_is_shown_literally(records, tmp_path):
    spec = made_standings.spec("a$x_1$ \x1b[2J", "ave")
    figure = bench.plot([*records, made_standings.record(spec)], "pareto", tasks="ave")
    label = next(text for text in figure.axes[0].texts if text.get_text().startswith("a"))
    assert label.get_text() == r"a\$x_1\$ \x1b[2J"
    save_figure(figure, tmp_path / "a.svg")
    ElementTree.fromstring((tmp_path / "a.svg").read_bytes())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "forrest"}, "kind forrest: did you mean forest"),
        ({"cost": "money"}, "cost money: .*known: memory, parameters, time"),
        ({"tasks": "avss"}, "no records of the task avss: did you mean avs"),
        ({"reference": "dora"}, "reference dora: no row has this label"),
    ],
)
def test_unknown_arguments_are_refused(records, options, message):
    with pytest.raises(UsageError, match=message):
        bench.plot(records, **options)


def test_nothing_to_draw_is_refused(records, tmp_path):
    lora_only = [record for record in records if record.spec.method == "lora"]
    with pytest.raises(UsageError, match="nothing to draw: no task has lora and another method with a common seed"):
        bench.plot(lora_only)
    with pytest.raises(UsageError, match=r"the name of a figure ends in \.svg or \.png"):
        save_figure(bench.plot(records), tmp_path / "a.pdf")


def test_without_matplotlib_the_message_says_what_to_install(records, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    store.write(records[0], tmp_path)
    assert cli.main(["plot", "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "bench: plots need matplotlib, which is not installed: pip install matplotlib\n"


def test_labels_keep_their_distance_and_stay_in_the_panel():
    assert _spread([0.2, 0.8], 0.1) == [0.2, 0.8]
    spread = _spread([0.0, 0.5, 0.5, 0.51, 1.0], 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(spread))
    assert spread[0] >= 0 and spread[-1] <= 1 and sum(spread) / 5 == pytest.approx(0.502, abs=0.02)
    crowded = _spread([0.99] * 30, 0.1)
    assert (crowded[0], crowded[-1]) == pytest.approx((0, 1))
