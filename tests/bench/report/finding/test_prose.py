"""Placeholders of a finding's template, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import made_standings
import mocks
import pytest

from bench.report.estimates import Estimate
from bench.report.finding.comparisons import Compared, Table
from bench.report.finding.measured import Measured
from bench.report.finding.prose import Prose
from bench.report.standings import gain_of


def compared(name: str, *by_seed: float) -> Compared:
    return Compared(name, 55.0, 50.0, Estimate(by_seed))


CLEAR, UNCLEAR = (5.0, 5.1, 4.9), (-1.0, 1.0, 2.0)
TABLES = {
    "cola/lora": Table("CoLA over LoRA", {"ave": compared("ave", *UNCLEAR), "avs": compared("avs", *CLEAR)}),
    "longer": Table("longer", {"ave": compared("ave", *CLEAR), "avs": compared("avs", *CLEAR)}),
}


def prose_of(tables) -> Prose:
    return Prose(Measured([], {}), tables, {}, tasks=("ave", "avs"), titles={"ave": "AVE", "avs": "AVS"}, trials=5)


@pytest.fixture
def prose() -> Prose:
    return prose_of(TABLES)


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


def test_words_follow_the_verdicts():
    def decided(points: float, verdict: str):
        return replace(gain_of(Estimate((points - 1, points, points + 1)), 50.0), verdict=verdict)

    def says(template: str, **gains) -> str:
        missing = tuple(name for name, gain in gains.items() if gain is None)
        table = SimpleNamespace(gains={name: gain for name, gain in gains.items() if gain}, missing=missing)
        return prose_of({"table": table}).fill(template).strip()

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


def test_what_has_no_records_is_said_not_to_be_measured():
    tables = {"cola/lora": TABLES["cola/lora"], "paths": Table.of("", {"paths=a": None, "paths=b": None})}
    prose = prose_of(tables)
    assert prose.fill("{gain:paths:paths=a}, {result:paths:paths=b}") == "not measured, not measured\n"
    assert prose.fill("{answer:paths:tasks} {verdicts:paths:tasks}") == "Not measured not measured\n"
    assert prose.fill("{rows:paths}").count("not measured") == 2
    with pytest.raises(ValueError, match="no such kind, table, row"):
        prose.fill("{gain:paths:paths=c}")
    partly = {"cola/lora": Table(TABLES["cola/lora"].title, TABLES["cola/lora"].rows, ("refcoco",))}
    assert (
        prose_of(partly).fill("{verdicts:cola/lora:avs|refcoco}").endswith("is significant; not measured: `refcoco`\n")
    )
    assert prose_of(partly).fill("{answer:cola/lora:avs|refcoco}") == "In part\n", "not shown for all of them"


def test_figures_of_methods_are_those_of_their_records():
    spec = made_standings.spec("lora")
    runs = {
        ("ave", "lora"): {0: mocks.record(spec, 60.0)},
        ("ave", "cola"): {},
        ("avs", "cola"): {},
        ("avs", "lora"): {},
    }
    prose = Prose(Measured([], {}), {}, runs, tasks=("ave", "avs"), titles={}, trials=3)
    assert prose.fill("{score:lora:ave} {parameters:lora:ave} {setting:lora:r} {trials}") == "60.0 4,000 4 3\n"
    assert prose.fill("{floors:ave}; {floors:avs}") == "constant answer 30.0 and sound alone 41.5; not measured\n"
    assert prose.fill("{ratio:cola:lora} {score:cola:ave}") == "not measured not measured\n"
    assert prose.fill("{ratio:lora:lora}") == "1.0\n"
    for unknown in ("{ratio:cola:loro}", "{score:loro:ave}", "{setting:lora:rank}"):
        with pytest.raises(ValueError, match="no such kind, table, row or setting"):
            prose.fill(unknown)


def test_a_table_shows_what_its_rows_gain():
    lines = prose_of(TABLES).fill("{rows:cola/lora:longer}").splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[2:4]] == ["CoLA over LoRA", "longer"]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["AVE", "AVS"]
    assert ", not significant |" in lines[2] and ", significant |" in lines[2] + lines[3]
