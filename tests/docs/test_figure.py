"""The picture and the table of README are what the program draws from the committed records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import mocks
import pytest

MINI = Path(__file__).parents[2] / "results" / "mini"


@pytest.fixture(scope="module")
def figure() -> ModuleType:
    """The script that draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MINI))
        patch.chdir(MINI.parents[1])
        import figure
    return figure


@pytest.fixture(scope="module")
def gains(figure: ModuleType) -> list:
    """The gains of the committed records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(MINI.parents[1])
        mocks.count_once(patch)
        return figure.gains(figure.Measured())


def test_the_picture_is_that_of_the_records(figure, gains):
    drawn = figure.picture(gains)
    assert figure.PICTURE.read_text(encoding="utf-8") == drawn, "results/mini/figure.py --write draws it anew"
    texts = [node.text for node in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {*figure.TITLES.values()} <= {*texts}


def test_the_table_of_the_readme_is_that_of_the_records(figure, gains):
    readme = figure.README.read_text(encoding="utf-8")
    assert readme == figure.readme_with(gains), "results/mini/figure.py --write writes it anew"
    assert len(readme.splitlines()) <= 120 and figure.PICTURE.name in readme


def test_what_is_not_significant_is_hollow(figure, gains):
    def circles(rows):
        svg = ElementTree.fromstring(figure.picture(rows))
        return [circle.get("fill") for circle in svg.iter("{http://www.w3.org/2000/svg}circle")]

    sure = [replace(gain, significant=True) for gain in gains]
    unsure = [replace(gain, significant=False) for gain in gains]
    assert {*circles(sure)} == {figure.CLEAR} and {*circles(unsure)} == {"#ffffff"}


EARLIER = {("1.5", "3.3"), ("0.6", "1.9"), ("1.0", "3.2"), ("31.7", "41.7")}
"""Ranges in the prose of the finding that its tables do not contain: of some seeds, or of records in the history."""


def test_the_intervals_in_the_prose_are_rounded_from_those_of_the_records(figure, monkeypatch):
    import finding

    ranges = set(EARLIER)

    def interval(low: float, high: float, digits: int) -> str:
        ranges.update((f"{a:.1f}", f"{b:.1f}") for a, b in ((low, high), (-high, -low)))
        return ""

    monkeypatch.chdir(MINI.parents[1])
    monkeypatch.setattr(finding, "interval", interval)
    finding.tables(figure.Measured())
    prose = " ".join((MINI / "finding.md").read_text(encoding="utf-8").partition("## Tables")[0].split())
    written = re.findall(r"\([^()]*?(-?\d+\.\d) to (-?\d+\.\d)", prose)
    rounded = {tuple(re.sub(r"^-(0\.0)$", r"\1", number) for number in pair) for pair in ranges}
    assert len(written) > 20 and [pair for pair in written if pair not in rounded] == []
