"""The scripts beside the results on three streams: what they plan, write and audit, from records that are made up."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import replace

import mocks
import pytest
import result_scripts

from bench.report.finding.measured import Measured

USUAL = {"head": 50.0, "lora": 60.0, "dora": 60.0, "cola": 65.0, "lora-cola-size": 60.0}
SPLITS = {"refavs": ("test_s", "test_u", "test_n")}


@pytest.fixture(scope="module")
def scripts():
    with result_scripts.scripts("three-streams", ["finding", "audit", "comparisons"]) as modules:
        yield modules


@pytest.fixture(scope="module")
def plan(scripts, tmp_path_factory):
    return result_scripts.tuned_plan("three-streams", tmp_path_factory.mktemp("tuned"))


def measured(plan, scores=USUAL, stages=None, seeds=None) -> Measured:
    """Records of stages: what each label scores, give or take some tenths from seed to seed; all others 40."""
    records = []
    for stage in plan if stages is None else stages:
        for (task, label), by_seed in plan[stage].items():
            for seed, spec in by_seed.items():
                if seeds is None or seed in seeds:
                    score = scores.get(label, 40.0) + zlib.crc32(f"{task} {label} {seed}".encode()) % 7 / 10
                    record = mocks.record(spec, score)
                    metric = record.scores.metric
                    splits = {split: {metric: score + 1} for split in SPLITS.get(task, ())}
                    records.append(replace(record, scores=replace(record.scores, splits=splits or None)))
    return Measured(records, plan)


def page(finding, reads) -> str:
    return finding.pages(reads)[finding.FOLDER / "finding.md"]


def test_runs_have_the_rates_of_a_search_at_their_size(plan):
    assert [*plan] == ["main", "budget", "paths", "controls", "single"]
    result_scripts.check_searches("three-streams", ("main", "budget"))


def test_with_all_records_everything_is_said(scripts, plan):
    finding, _, comparisons = scripts
    reads = measured(plan)
    tables = comparisons.all_tables(reads)
    assert [key for key, table in tables.items() if table.missing or not table.rows] == []
    assert len(tables["single over lora, refavs"].rows) == 6
    text = page(finding, reads)
    assert "not measured" not in text.lower() and "{" not in text
    lines = text.splitlines()
    assert len(lines) <= 80 and max(len(line) for line in lines if not line.startswith("|")) <= 120
    assert "audio into vision" in text and "paths=" not in text


@pytest.mark.parametrize(("cola", "answer"), [(65.0, "Yes, with"), (55.0, "No, with"), (60.0, "Not shown, with")])
def test_words_follow_the_records(scripts, plan, cola, answer):
    finding, *_ = scripts
    text = page(finding, measured(plan, {**USUAL, "cola": cola}))
    assert f"**Does a cross-modal path help?** {answer} equally many parameters" in " ".join(text.split())


@pytest.mark.parametrize("without", ["main", "budget", "controls", "single", "paths"])
def test_pages_are_written_while_stages_have_no_records(scripts, plan, without):
    finding, audit, *_ = scripts
    reads = measured(plan, stages=[stage for stage in plan if stage != without])
    texts = finding.pages(reads)
    assert "not measured" in texts[finding.FOLDER / "finding.md"].lower()
    assert texts[finding.FOLDER / "tables.md"].startswith("# Tables")
    lines = [line for _, conditions in audit.conditions(reads) for line in conditions]
    assert any(holds is None for holds, _ in lines) == (without in ("main", "controls", "single"))


def test_pages_are_written_after_the_first_runs(scripts, plan):
    """Seed by seed: with one seed there is no verdict; nothing of the rest is there."""
    finding, *_ = scripts
    for stages, seeds in (((), ()), (("main",), (0,)), (("main", "budget"), (0, 1)), (("main",), None)):
        text = page(finding, measured(plan, stages=stages, seeds=seeds))
        assert "not measured" in text.lower()
        assert ("too few seeds" in text) == (len(seeds or ()) in (1, 2))


def test_the_picture_shows_what_has_records(scripts, plan, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    finding, *_ = scripts
    monkeypatch.setattr(finding, "PICTURE", tmp_path / "finding.svg")
    finding.draw(measured(plan, stages=()))
    assert not finding.PICTURE.exists()
    finding.draw(measured(plan))
    drawn = finding.PICTURE.read_text(encoding="utf-8")
    for text in ("CoLA over LoRA of equal size", "one path over LoRA", "Ref-AVS", "audio into vision", "mean"):
        assert f"<!-- {text}" in drawn


def test_the_audit_tells_what_holds(scripts, plan):
    _, audit, *_ = scripts

    def verdicts(reads):
        return {text: holds for _, lines in audit.conditions(reads) for holds, text in lines}

    good = verdicts(measured(plan))
    assert len(good) == 2 * 4 + 2 * 6 and all(good.values())
    equal = verdicts(measured(plan, {**USUAL, "head": 60.0}))
    assert [text[:18] for text, holds in equal.items() if not holds] == ["refavs: head < LoR", "avqa: head < LoRA "]
    same = verdicts(measured(plan, {**USUAL, "vision and text": 60.0}))
    assert sorted(text.split(" with ")[1][:15] for text, holds in same.items() if not holds) == ["vision and text"] * 2


def test_nothing_is_written_without_records(scripts, monkeypatch):
    finding, *_ = scripts
    empty = Measured([], {"main": {}})
    monkeypatch.setattr(finding.Measured, "of_experiment", lambda experiment: empty)
    assert "no records" in finding.main([])


def test_every_path_is_there_by_itself(scripts, plan):
    *_, comparisons = scripts
    labels = {label for _, label in plan["paths"]}
    assert {*comparisons.SINGLE_PATHS} <= labels
    for label in comparisons.SINGLE_PATHS:
        spec = next(iter(plan["paths"]["refavs", label].values()))
        assert spec.settings["paths"] == [label.removeprefix("paths=")]
    for stage, number in (("controls", 2), ("single", 1)):
        streams = {tuple(spec.data["streams"]) for spec in result_scripts.specs(plan, stage)}
        assert {frozenset(names) for names in streams} == {
            frozenset(names) for names in itertools.combinations(comparisons.STREAMS, number)
        }
