"""The finding, its tables and picture, and the README's table are what the program says of the committed records."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
import result_scripts

from bench.errors import BenchError
from bench.report.finding.measured import Measured
from bench.report.finding.prose import Prose, check

ROOT = Path(__file__).parents[2]
MINI = ROOT / "results" / "mini"


@pytest.fixture(scope="module")
def finding() -> ModuleType:
    """The script that writes them, started from the checkout."""
    with result_scripts.scripts("mini", ["finding"]) as (module,):
        yield module


@pytest.fixture(scope="module")
def measured(finding) -> Measured:
    """The committed records."""
    return Measured.of_experiment(finding.EXPERIMENT)


@pytest.fixture(scope="module")
def written(finding, measured) -> dict:
    """The text of each page, as it would be written."""
    return {ROOT / page: text for page, text in finding.pages(measured).items()}


@pytest.fixture(scope="module")
def tables(finding, measured) -> dict:
    """All comparisons of the committed records."""
    return finding.all_tables(measured)


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


@pytest.mark.parametrize("folder", ["mini", "three-streams", "natural"])
def test_records_that_cannot_be_compared_are_a_message(folder, monkeypatch):
    def refuse(experiment):
        raise BenchError(f"{experiment}: other data")

    with result_scripts.scripts(folder, ["finding"]) as (script,):
        monkeypatch.setattr(Measured, "of_experiment", refuse)
        assert script.main([]) == f"nothing was written: {script.EXPERIMENT}: other data"


@pytest.mark.parametrize("folder", ["three-streams", "natural"])
def test_pages_and_picture_of_other_folders_are_what_their_records_say(folder, tmp_path, monkeypatch):
    """Without records nothing is committed."""
    with result_scripts.scripts(folder, ["finding"]) as (script,):
        reads = Measured.of_experiment(script.EXPERIMENT)
        if reads.is_empty:
            assert not any((ROOT / "results" / folder / name).exists() for name in ("finding.md", "tables.md"))
            assert "no records" in script.main([])
            return
        ids = {spec.id for stage in reads.planned for spec in result_scripts.specs(reads.planned, stage)}
        assert {*reads.records} <= ids, "each record is of the experiment"
        texts = script.pages(reads)
        stale = [page for page, text in texts.items() if page.read_text(encoding="utf-8") != text]
        assert stale == [], f"results/{folder}/finding.py --write writes them anew"
        pytest.importorskip("matplotlib")
        committed = ROOT / script.PICTURE
        monkeypatch.setattr(script, "PICTURE", tmp_path / "finding.svg")
        script.draw(reads)
        drawn = [path.read_text(encoding="utf-8") for path in (script.PICTURE, committed) if path.exists()]
        texts_of = [re.findall(r"<!-- (.+) -->", picture) for picture in drawn]
        assert len(drawn) in (0, 2) and texts_of[:1] == texts_of[1:], "--write draws it anew"


@pytest.fixture
def prose(tables):
    """Fills templates from the committed comparisons; placeholders that count runs are not used here."""
    return Prose(Measured([], {}), tables, {}, tasks=(), titles={}, trials=0)


def test_figures_of_the_prose_are_those_of_the_tables(prose, tables, written):
    rows = [line for line in written[MINI / "tables.md"].split("\n## ") if line.startswith("CoLA over LoRA, each of")]
    (cells,) = ([c.strip() for c in line.split("|")] for line in rows[0].splitlines() if line.startswith("| all tasks"))
    gain = tables["cola/lora"].gains["all tasks"]
    assert cells[5:7] == [f"{gain.points:+.2f}", f"{gain.interval.low:+.2f} to {gain.interval.high:+.2f}"]
    brief = f"{gain.points:+.1f} ({gain.interval.low:+.1f} to {gain.interval.high:+.1f})"
    assert prose.fill("It gains {gain:cola/lora:all tasks}.") == f"It gains {brief}.\n"
    assert brief.removeprefix("+").partition(" ")[0] in written[MINI / "finding.md"]


def test_the_template_of_the_finding_needs_no_figure_by_hand(finding):
    text = (MINI / "finding.template.md").read_text(encoding="utf-8")
    check(text)
    assert text.count("{") > 60
    with pytest.raises(ValueError, match=r"'2\.3'"):
        check(text.replace("{result:cola/lora:all tasks}", "2.3 points more", 1))
