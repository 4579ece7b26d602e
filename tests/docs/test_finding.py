"""The finding, its tables and picture, and the README's table are what the program says of the committed records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import mocks
import pytest

from bench.report.estimates import Estimate
from bench.report.standings import gain_of

ROOT = Path(__file__).parents[2]
MINI = ROOT / "results" / "mini"


@pytest.fixture(scope="module")
def finding() -> ModuleType:
    """The script that writes them, started from the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MINI))
        patch.chdir(ROOT)
        import finding
    return finding


@pytest.fixture(scope="module")
def written(finding) -> dict:
    """The text of each page, as it would be written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        mocks.count_once(patch)
        return {ROOT / page: text for page, text in finding.pages(finding.Measured()).items()}


@pytest.fixture(scope="module")
def tables(finding) -> dict:
    """All comparisons of the committed records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        mocks.count_once(patch)
        return finding.all_tables(finding.Measured())


def test_every_page_is_what_the_records_say(written):
    stale = [page for page, text in written.items() if page.read_text(encoding="utf-8") != text]
    assert stale == [], "results/mini/finding.py --write writes them anew"
    assert {page.name for page in written} == {"finding.md", "tables.md", "README.md", "results.md"} and len(
        written
    ) == 5


def test_the_finding_is_short_and_opens_with_its_picture(written):
    lines = written[MINI / "finding.md"].splitlines()
    assert len(lines) <= 120 and max(map(len, lines)) <= 120
    assert lines.index("![Gain of CoLA over LoRA at equal size, task by task, with 95% intervals](finding.svg)") < 10


def test_the_picture_is_that_of_the_records(finding, tables, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(finding.figure, "PICTURE", tmp_path / "finding.svg")
    finding.figure.draw(tables[finding.figure.SHOWN])
    drawn, committed = ((folder / "finding.svg").read_text(encoding="utf-8") for folder in (tmp_path, MINI))
    texts = re.findall(r"<!-- (.+) -->", drawn)
    assert texts == re.findall(r"<!-- (.+) -->", committed), "results/mini/finding.py --write draws it anew"
    assert {*finding.figure.TITLES.values()} <= {*texts}
    version = re.compile(r"Matplotlib v\S+")
    if version.findall(drawn) == version.findall(committed):  # others draw the same slightly differently
        assert drawn == committed


@pytest.fixture
def prose(finding, tables):
    """Fills templates from the committed records; placeholders that count runs are not used here."""
    from prose import Prose

    measured = finding.Measured.__new__(finding.Measured)
    measured.records = {}
    filled = Prose.__new__(Prose)
    filled._measured, filled._tables = measured, tables
    filled._gains = {key: table.gains for key, table in tables.items()}
    return filled


def test_figures_of_the_prose_are_those_of_the_tables(prose, tables, written):
    rows = [line for line in written[MINI / "tables.md"].split("\n## ") if line.startswith("CoLA over LoRA, each of")]
    (cells,) = ([c.strip() for c in line.split("|")] for line in rows[0].splitlines() if line.startswith("| all tasks"))
    gain = tables["cola/lora"].gains["all tasks"]
    assert cells[5:7] == [f"{gain.points:+.2f}", f"{gain.interval.low:+.2f} to {gain.interval.high:+.2f}"]
    brief = f"{gain.points:+.1f} ({gain.interval.low:+.1f} to {gain.interval.high:+.1f})"
    assert prose.fill("It gains {gain:cola/lora:all tasks}.") == f"It gains {brief}.\n"
    assert brief.removeprefix("+").partition(" ")[0] in written[MINI / "finding.md"]


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("It scores 2.3 points more.", "2.3"),
        ("Three of them lead.", "Three"),
        ("The gain is significant.", "significant"),
        ("**Is it better?** Yes.", "Yes"),
        ("It is not\nsignificantly better.", "line 2: 'significantly'"),
        ("{worse:cola/lora:avs}", "the records say otherwise: avs is better"),
        ("{undecided:cola/lora:ave|avs}", "the records say otherwise: avs is better"),
        ("{better:cola/lora:avs:longer:ave|avs:cola/lora:ave}", "the records say otherwise: ave is undecided"),
        ("{gain:cola/lora:avss}", "no such kind, table, row"),
        ("{gain:cola/loro:avs}", "no such kind, table, row"),
        ("{gains:cola/lora:avs}", "no such kind, table, row"),
        ("{gain:cola/lora}", "no such kind, table, row"),
    ],
)
def test_a_figure_or_a_verdict_that_the_records_do_not_have_is_refused(prose, template, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        prose.fill(template)


def test_what_is_not_a_figure_may_stand_in_a_template(prose):
    template = "At IoU 0.5, `r=2` of [this](page-2.md) is *significant* if p is below 0.05; {better:cola/lora:avs}."
    assert prose.fill(template).endswith("0.05; significant.\n")


def test_words_follow_the_verdicts(prose):
    def decided(points: float, verdict: str):
        return replace(gain_of(Estimate((points - 1, points, points + 1)), 50.0), verdict=verdict)

    def says(template: str, **gains) -> str:
        prose._gains = {"table": gains}
        return prose.fill(template).strip()

    more, less = decided(2.04, "better"), decided(-3.0, "worse")
    open_, few = decided(0.04, "undecided"), replace(decided(1.0, "too few seeds"), interval=None)
    assert says("{answer:table:tasks}", ave=more, avs=more) == "Yes"
    assert says("{answer:table:tasks}", ave=more, avs=open_) == "In part"
    assert says("{answer:table:tasks}", ave=more, avs=less) == "No"
    assert says("{answer:table:tasks}", ave=open_, avs=few) == "Not shown"
    assert says("{result:table:ave}", ave=more) == "2.0 points more (-0.4 to +4.5, +4.1%; significant)"
    assert says("{result:table:ave}", ave=less) == "3.0 points less (-5.5 to -0.5, -6.0%; significant)"
    assert says("{result:table:ave}", ave=open_) == "equally much (-2.4 to +2.5, +0.1%; not significant)"
    assert says("{result:table:ave}", ave=few).endswith("(too few seeds, +2.0%; too few seeds)")
    both = "AVE +2.0 (-0.4 to +4.5) and `r=2` -3.0 (-5.5 to -0.5) are significant, AVS +0.0 (-2.4 to +2.5) is not"
    assert says("{verdicts:table:tasks}", **{"ave": more, "avs": open_, "r=2": less, "all tasks": less}) == both
    assert says("{verdicts:table:avs}", avs=open_) == "AVS +0.0 (-2.4 to +2.5) is not significant"


def test_the_template_of_the_finding_needs_no_figure_by_hand(finding):
    from prose import check

    text = (MINI / "finding.template.md").read_text(encoding="utf-8")
    check(text)
    assert text.count("{") > 60
    with pytest.raises(ValueError, match=r"'2\.3'"):
        check(text.replace("{result:cola/lora:all tasks}", "2.3 points more", 1))
