"""Draw CoLA's gain over LoRA at equal size, task by task: `.venv/bin/python results/mini/figure.py`, from the root.

The picture (`finding.svg`) and the table in the repository's README come from the records beside this file. `--write`
renews both; without it the table is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import fmean
from xml.etree import ElementTree

from audit import Measured
from finding import ALL, QUESTIONS, Compared, answers, interval, usual_runs
from reproduce import FOLDER

from bench.files import write_text
from bench.report.stats import ALPHA, holm, paired_test
from bench.text.markdown import table as markdown

PICTURE = FOLDER / "finding.svg"
README = FOLDER.parents[1] / "README.md"
BEGIN = "<!-- written by results/mini/figure.py -->\n"
END = "<!-- end -->"

TITLES = {
    "ave": "AVE, accuracy",
    "avs": "AVS, mean IoU",
    "refcoco": "RefCOCO, accuracy",
    "refcoco_plus": "RefCOCO+, accuracy",
    "refcocog": "RefCOCOg, accuracy",
    ALL: "mean of the five tasks",
}

WIDTH, ROW, TOP, LEFT, RIGHT = 760, 34, 56, 200, 170  # pixels
INK, FAINT, CLEAR, UNCLEAR = "#1f2328", "#d0d7de", "#0969da", "#6e7781"


@dataclass(frozen=True)
class Gain:
    """What CoLA scores above LoRA on one task, in points, with its 95% interval and whether it is significant."""

    task: str
    lora: float
    cola: float
    seeds: int
    mean: float
    low: float
    high: float
    significant: bool


def gains(measured: Measured) -> list[Gain]:
    """Return the gain on each task, and in the mean over tasks; p-values are corrected over the table (Holm)."""
    question = QUESTIONS[0]
    comparisons = answers(question, usual_runs(measured))
    tests = [_test(comparison) for comparison in comparisons]
    corrected = holm([p for _, _, p in tests])
    return [
        Gain(
            task=comparison.name,
            lora=fmean(comparison.b.values()),
            cola=fmean(comparison.a.values()),
            seeds=len(comparison.a),
            mean=fmean(comparison.differences),
            low=low,
            high=high,
            significant=p < ALPHA,
        )
        for comparison, (low, high, _), p in zip(comparisons, tests, corrected, strict=True)
    ]


def _test(comparison: Compared) -> tuple[float, float, float]:
    test = paired_test(comparison.differences)
    assert test, "a task has fewer than two seeds"
    return test


def table(rows: Sequence[Gain]) -> str:
    """Return the gains as a Markdown table."""
    header = ("task, score", "LoRA", "CoLA", "difference", "95% interval", "significant")
    lines = [
        [
            TITLES[row.task],
            f"{row.lora:.1f}",
            f"{row.cola:.1f}",
            f"{row.mean:+.1f}",
            interval(row.low, row.high, 1),
            "yes" if row.significant else "no",
        ]
        for row in rows
    ]
    return markdown(header, lines) + "\n"


def picture(rows: Sequence[Gain]) -> str:
    """Return the gains as an SVG: a dot with its interval for each task, to the right of 0 where CoLA is above LoRA.

    It has a background of its own, so it can be read on light and dark pages.
    """
    low, high = floor(min(0, *(row.low for row in rows))), ceil(max(0, *(row.high for row in rows)))
    height = TOP + ROW * len(rows) + 52

    def x(points: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * (points - low) / (high - low):.1f}"

    def text(content: str, x: float | str, y: float, anchor: str = "start", **style: str) -> None:
        node = ElementTree.SubElement(
            svg, "text", {"x": str(x), "y": str(y), "text-anchor": anchor, "fill": INK, **style}
        )
        node.text = content

    def line(x1: str, y1: float, x2: str, y2: float, color: str, width: int = 1) -> None:
        ends = {"x1": x1, "y1": str(y1), "x2": x2, "y2": str(y2)}
        ElementTree.SubElement(svg, "line", {**ends, "stroke": color, "stroke-width": str(width)})

    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "width": str(WIDTH),
            "height": str(height),
            "role": "img",
            "font-family": "system-ui, sans-serif",
            "font-size": "14",
        },
    )
    title = ElementTree.SubElement(svg, "title")
    title.text = "Gain of CoLA over LoRA at equal size on the embedded suite, with 95% intervals"
    ElementTree.SubElement(svg, "rect", {"width": str(WIDTH), "height": str(height), "rx": "8", "fill": "#ffffff"})
    text(
        "CoLA minus LoRA, points, equal numbers of trained parameters",
        WIDTH / 2,
        24,
        "middle",
        **{"font-weight": "600"},
    )
    text(
        f"embedded suite mini (generated data), {rows[0].seeds} seeds, 95% intervals",
        WIDTH / 2,
        43,
        "middle",
        **{"font-size": "12"},
    )
    bottom = TOP + ROW * len(rows)
    for points in range(low, high + 1):
        line(x(points), TOP, x(points), bottom, INK if points == 0 else FAINT)
        text(f"{points:+d}" if points else "0", x(points), bottom + 17, "middle", **{"font-size": "12"})
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        color = CLEAR if row.significant else UNCLEAR
        weight = {"font-weight": "600"} if row.task == ALL else {}
        text(TITLES[row.task], LEFT - 14, y + 5, "end", **weight)
        line(x(row.low), y, x(row.high), y, color, 3)
        dot = {"cx": x(row.mean), "cy": str(y), "r": "5.5", "stroke": color, "stroke-width": "2.5"}
        ElementTree.SubElement(svg, "circle", {**dot, "fill": color if row.significant else "#ffffff"})
        text(f"{row.mean:+.1f} ({interval(row.low, row.high, 1)})", WIDTH - 14, y + 5, "end", **weight)
    text(
        "filled: significant after Holm's correction over these six tests (p < 0.05); right of 0: CoLA is better",
        WIDTH / 2,
        bottom + 38,
        "middle",
        **{"font-size": "12"},
    )
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def readme_with(rows: Sequence[Gain]) -> str:
    """Return the README with the table of these gains in its place."""
    start, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{README} lacks the lines {BEGIN.strip()} and {END}"
    return f"{start}{BEGIN}\n{table(rows)}\n{END}{after}"


def main() -> None:
    """Print the table, or write the picture and the table in the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {PICTURE.name} and the table of {README.name}")
    write, rows = parser.parse_args().write, gains(Measured())
    if write:
        write_text(PICTURE, picture(rows))
        write_text(README, readme_with(rows))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
