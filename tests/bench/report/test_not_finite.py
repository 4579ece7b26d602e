"""A score that is not finite is a failed run or a gap that is stated, and never what rows are ordered by."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tempfile
from pathlib import Path
from xml.etree.ElementTree import tostring

import made_standings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cli
from bench.records import store
from bench.records.schema import Record
from bench.report.export.frame import to_frame, to_rows
from bench.report.export.peft import peft_text
from bench.report.export.write import table
from bench.report.html.data import plain
from bench.report.html.page import page
from bench.report.html.tables import overall_table, task_table
from bench.report.leaderboard import leaderboard
from bench.report.notes import notes
from bench.report.power import powers
from bench.report.standings import SectionStandings, compute_standings
from bench.report.terminal import run_table
from bench.saved_adapters.model_index import model_index_text

NUMBERS = (math.nan, math.inf, -math.inf)
WORD = re.compile(r"(?<![a-z])(nan|inf)(?![a-z])", re.IGNORECASE)
RECORDS = [record for record in made_standings.records() if record.spec.method != made_standings.EVIL]


def places(value, path=()):
    """Where a record holds a float: keys and positions, one after another."""
    if isinstance(value, float):
        yield path
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in ("spec", "environment"):
                yield from places(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def with_number(value, path, number):
    """A copy of a record with another number at one place."""
    if not path:
        return number
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: with_number(value[key], rest, number)}
    if isinstance(value, list):
        return [with_number(item, rest, number) if index == key else item for index, item in enumerate(value)]
    return dataclasses.replace(value, **{key: with_number(getattr(value, key), rest, number)})


def with_score(record: Record, score: float) -> Record:
    return with_number(record, ("scores", "test", record.scores.metric), score)


PLACES = [(number, place) for number, record in enumerate(RECORDS) for place in places(record)]


def texts(records: list[Record]) -> list[str]:
    """Everything that is written of these records, each as text."""
    sections = compute_standings(records)
    list(powers(sections, 1.0))
    finished = [record for record in records if record.test_score is not None]
    tables = [task_table(task, "name", "lora") for section in sections for task in section.tasks if task.standings]
    tables += [overall_table(section, "name", "lora") for section in sections if len(section.tasks) > 1]
    page(sections)
    return [
        leaderboard(sections),
        *(tostring(element, encoding="unicode") for element in tables),
        json.dumps(plain(sections), allow_nan=False),
        run_table(records),
        table(records).to_csv(index=False),
        json.dumps(to_rows(records), allow_nan=False),
        *(peft_text(record, Path()) for record in finished),
        *(model_index_text(record) for record in finished),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(NUMBERS)), min_size=1, max_size=12))
def test_no_number_that_is_none_is_shown_or_ordered_by(damage):
    records = [*RECORDS]
    for (number, place), value in damage:
        records[number] = with_number(records[number], place, value)
    for text in texts(records):
        assert not WORD.search(text), text
    to_frame(records)
    finite = [record for record in records if math.isfinite(record.scores.test[record.scores.metric])]
    (standings,), (expected,) = compute_standings(records), compute_standings(finite)
    assert judged(standings) == judged(expected) and standings.ranks == expected.ranks
    for task in standings.tasks:
        means = [standing.mean for standing in task.standings]
        assert means == sorted(means, reverse=True) and all(map(math.isfinite, means))
        message = "\n".join(notes(task.table))
        assert all(f"{record.label}: the {record.scores.metric} of the test" in message for record in task.table.failed)


def judged(standings: SectionStandings) -> dict[str, list]:
    """What is said of each row, by task."""
    return {
        task.table.task: [
            (standing.row.label, standing.mean, standing.place, standing.tied, standing.gain)
            for standing in task.standings
        ]
        for task in standings.tasks
        if task.standings
    }


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(NUMBERS)), max_size=6))
def test_a_record_that_was_written_reads_as_it_was(damage):
    records = [*RECORDS]
    for (number, place), value in damage:
        records[number] = with_number(records[number], place, value)
    with tempfile.TemporaryDirectory() as folder:
        for record in records:
            store.write(record, Path(folder))
        assert leaderboard(compute_standings(store.read_all(Path(folder)))) == leaderboard(
            compute_standings(sorted(records, key=lambda record: (record.started, record.stem)))
        )


def test_a_score_that_is_not_finite_does_not_affect_the_ranking(tmp_path, capsys):
    """80.5 came sixth and 50.5 was the best where another method had such a score."""
    scores = {"lora": 70.0, "cola": 80.5, "head": 50.5, "dora": math.nan, "full": math.inf, "adalora": -math.inf}
    for method, score in scores.items():
        run = made_standings.record(made_standings.spec(method))
        store.write(with_score(run, score), tmp_path)
    (standings,) = compute_standings(store.read_all(tmp_path))
    assert [standing.row.label for standing in standings.tasks[0].standings] == ["cola", "lora", "head"]
    message = "\n".join(notes(standings.tasks[0].table))
    assert "3 failed: " in message and "ave dora seed 0: the accuracy of the test split is not finite" in message
    assert cli.main(["status", "--results", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ave", "cola", "1", "0"] in lines and ["ave", "dora", "0", "1"] in lines
    by_method = {row["method"]: row for row in to_rows(store.read_all(tmp_path))}
    assert by_method["full"]["status"] == "failed" and by_method["full"]["score"] is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("scores", "test", "f1"), "scores.test.f1"),
        (("scores", "floors", "sound alone"), "scores.floors.sound alone"),
        (("throughput", "train"), "throughput.train"),
        (("parameters", "percent"), "parameters.percent"),
    ],
)
def test_what_is_left_out_is_named(path, name):
    first, *remaining = (record for record in RECORDS if record.spec.task == "ave")
    (standings,) = compute_standings([with_number(first, path, math.nan), *remaining])
    assert f"Left out because they are not finite: {first.label}: {name}" in notes(standings.tasks[0].table)
