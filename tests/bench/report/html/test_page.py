from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import made_standings
import mocks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records.schema import Epoch
from bench.report.formatting import NONE, score
from bench.report.html import page as page_module
from bench.report.html.data import plain
from bench.report.html.page import page
from bench.report.html.tables import overall_table, published_table, settings_fold, task_table
from bench.report.leaderboard import leaderboard
from bench.report.published import published
from bench.report.standings import Interval, compute_standings
from bench.report.tuning_trials import Trials
from bench.text import escape

PUBLISHED = [
    {
        "task": "ave",
        "metric": "accuracy",
        "method": "CoLA",
        "score": 80.7,
        "setting": "r 16",
        "source": "https://x.org/1",
    },
    {
        "task": "ave",
        "metric": "accuracy",
        "method": "LoRA",
        "score": "79.2",
        "setting": "",
        "source": "javascript:alert(1)",
    },
]


@pytest.fixture(scope="module")
def judged():
    return made_standings.judged(made_standings.records())


class Parts(HTMLParser):
    """What a browser would read: elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data


def cells(frame):
    """The texts of a table, by the class of its body."""
    table = frame.find("table")
    head = ["".join(cell.itertext()) for cell in table.find("thead").findall("tr")[-1]]
    bodies = {
        body.get("class"): [[*map("".join, (c.itertext() for c in row))] for row in body]
        for body in table.findall("tbody")
    }
    return head, bodies


def test_page_and_markdown_count_the_same_runs():
    control = made_standings.spec("lora")
    control = dataclasses.replace(control, data={**control.data, "streams": ["vision"]})
    records = [*made_standings.records(["ave"]), made_standings.record(control)]
    standings = compute_standings([*records, mocks.failed(made_standings.spec("lora", seed=9))])
    assert "<p>14 runs, " in page(standings) and "\n14 runs, " in leaderboard(standings)


def test_seeds_on_two_machines_name_both():
    first, second = (
        made_standings.records(["ave"], seeds=1)[0],
        made_standings.record(made_standings.spec("cola", seed=1)),
    )
    second = dataclasses.replace(second, environment=dataclasses.replace(mocks.ENVIRONMENT, device="cuda H100"))
    [standings] = made_standings.judged([first, second])
    content = plain([standings])
    [row] = content["tasks"]["section-0-task-0"]["rows"]
    assert [content["facts"][number]["device"] for number in row["environments"]] == ["cpu", "cuda H100"]
    text = "".join(settings_fold(standings.tasks[0].table, Trials(), "name").itertext())
    assert "cuda H100" in text
    assert "not comparable" in text


def test_numbers_that_are_not_there_are_null(judged):
    record = made_standings.records(["ave"], seeds=1)[0]
    curve = [Epoch(1, 1, 1.0, {"accuracy": math.nan}), Epoch(2, 2, 1.0, {}), Epoch(3, 3, 1.0, {"accuracy": 70.0})]
    record = dataclasses.replace(
        record,
        scores=dataclasses.replace(record.scores, validation=curve),
        memory=None,
        throughput=None,
        environment=None,
        times=None,
    )
    [standings] = made_standings.judged([record])
    [standing] = standings.tasks[0].standings
    standing = dataclasses.replace(
        standing, mean=np.float64(70.25), interval=Interval(np.float64("nan"), np.float64(71))
    )
    standings = dataclasses.replace(standings, tasks=[dataclasses.replace(standings.tasks[0], standings=[standing])])
    [row] = plain([standings])["tasks"]["section-0-task-0"]["rows"]
    assert (row["mean"], row["interval"]) == (70.25, [None, 71])
    assert (row["memory"], row["speed"], row["seconds"], row["environments"]) == (None, None, None, [])
    assert row["curve"] == [[3, 70, 70, 70, None]]
    assert "nan" not in page([standings]).replace("instanceof", "").lower().split("<script>")[0]


def test_a_task_table(judged):
    head, bodies = cells(task_table(judged[0].tasks[0], "caption", "lora"))
    assert head == [
        *("place", "method", "accuracy", "95% interval", "seeds"),
        *("points", "95% interval", "percent", "p after Holm", "verdict"),
        *("trainable", "% of streams", "training", "scoring", "training", "scoring", "PPT", "f1"),
    ]
    assert [row[:2] for row in bodies["rows"]] == [
        ["≈ best", "cola"],
        ["≈ best", "lora"],
        ["3", made_standings.EVIL],
        ["4", "head"],
    ]
    assert bodies["rows"][0][2:16] == [
        *("78.50", "77.25 to 79.75", "3"),
        *("+2.00", "+1.00 to +3.00", "+2.6", "< 0.001", "better"),
        *("13,900", "1.74", "930", "500", "128.0", "384.0"),
    ]
    assert bodies["rows"][1][5:10] == [NONE] * 5  # LoRA gains nothing over itself
    assert [row[1:3] for row in bodies["floors"]] == [
        ["floor: sound alone", "41.50"],
        ["floor: constant answer", "30.00"],
    ]
    assert {len(row) for body in bodies.values() for row in body} == {len(head)}


def test_masked_parameters_are_told(judged):
    record = made_standings.records(["ave"], seeds=1)[0]
    record = dataclasses.replace(record, parameters=dataclasses.replace(record.parameters, active=9000))
    head, bodies = cells(task_table(made_standings.judged([record])[0].tasks[0], "caption", "lora"))
    assert bodies["rows"][0][head.index("trainable")] == "13,900 (9,000 in use)"


def test_columns_that_hold_nothing_are_left_out():
    [standings] = made_standings.judged(
        [record for record in made_standings.records(["ave"], seeds=1) if "lora" not in record.label]
    )
    head, _ = cells(task_table(standings.tasks[0], "caption", "lora"))
    assert "95% interval" not in head
    assert "verdict" not in head


def test_the_table_over_all_tasks(judged):
    head, bodies = cells(overall_table(judged[0], "caption", "lora"))
    assert head == [
        *("method", "points", "95% interval", "percent", "p after Holm", "verdict"),
        *("score", "95% interval", "mean", "95% interval", "ave accuracy", "avs miou"),
    ]
    assert bodies["rows"][:2] == [
        [
            *("cola", "+2.00", "+1.00 to +3.00", "+3.5", "< 0.001", "better"),
            *("68.50", "67.50 to 69.50", "1.00", "1.00 to 1.50", "78.50", "58.50"),
        ],
        ["lora", *[NONE] * 5, "66.50", "65.50 to 67.50", "2.00", "1.50 to 2.50", "76.50", "56.50"],
    ]


def test_a_method_without_all_tasks_has_no_rank():
    records = [r for r in made_standings.records() if (r.spec.task, r.spec.method) != ("avs", "head")]
    [standings] = made_standings.judged(records)
    standings = dataclasses.replace(standings, ranks=standings.ranks[:-1])
    _, bodies = cells(overall_table(standings, "caption", "lora"))
    assert bodies["rows"][-1] == ["head", *[NONE] * 9, "61.50", NONE]


def test_failed_runs_are_listed_and_not_plotted():
    [standings] = made_standings.judged([mocks.failed(made_standings.spec("lora"), "no memory & <more>")])
    assert plain([standings])["tasks"] == {}
    text = page([standings])
    assert "1 run, 1 method, 1 task, 1 table; 1 of the runs failed" in text
    assert "no memory &amp; &lt;more&gt;" in text


def test_runs_of_two_tasks_that_all_failed_make_a_page():
    [standings] = made_standings.judged([mocks.failed(made_standings.spec("lora", task)) for task in ("ave", "avs")])
    assert "2 of the runs failed" in page([standings])


def test_a_mean_has_its_deviation():
    assert score([1.0], with_deviation=True) == "1.00"
    assert score([1.0, 3.0], with_deviation=True) == "2.00 ± 1.41"


def test_published_numbers_stand_apart(judged):
    table = published_table(PUBLISHED, "caption")
    head, bodies = cells(table)
    assert head == ["task", "method", "metric", "score", "encoders", "source"]
    assert [link.get("href") for link in table.iter("a")] == ["https://x.org/1"]
    assert bodies["rows"][1][-1] == "javascript:alert(1)"
    text = page(judged, PUBLISHED)
    assert "Reported elsewhere: not measured here" in text
    assert "x.org" not in Parts(text).texts["script"][0]
    assert "Reported elsewhere" not in page(judged)
    assert "each at its own best threshold" not in text, "where no F is shown"
    assert page(judged, published()).count("each at its own best threshold") == 1


def test_nothing_is_loaded(judged):
    """Scripts and style are in the file, and nothing names an address but the links to sources."""
    parts = Parts(page(judged, PUBLISHED))
    addresses = [
        (tag, attrs[key]) for tag, attrs in parts.elements for key in ("src", "href", "srcset") if key in attrs
    ]
    assert sorted(addresses) == [("a", "#main"), ("a", "https://x.org/1"), ("link", "data:,")]
    assert not re.search(r"url\(|@import", parts.texts["style"][0])
    for script in parts.texts["script"]:
        assert not re.search(r"\bfetch\b|XMLHttpRequest|import\(|WebSocket|sendBeacon|innerHTML|eval\(", script)
    assert not [attrs for _, attrs in parts.elements if any(key.startswith("on") for key in attrs)]


def test_only_its_own_script_and_style_may_run(judged):
    parts = Parts(page(judged))
    policy = next(attrs["content"] for tag, attrs in parts.elements if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none';")
    sources = [*parts.texts["style"], *parts.texts["script"][1:]]
    sums = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in sources]
    assert sorted(re.findall(r"sha256-([^']+)", policy)) == sorted(sums)


def test_equal_records_give_equal_pages():
    assert page(made_standings.judged(made_standings.records())) == page(
        made_standings.judged(made_standings.records())
    )


def test_records_judged_by_the_statistics_make_a_page():
    text = page(compute_standings(made_standings.records()))
    assert list(json.loads(Parts(text).texts["script"][0])["tasks"]) == [
        *("section-0-all", "section-0-task-0", "section-0-task-1")
    ]


def test_a_page_of_nothing():
    assert "0 runs" in page([])


@given(
    st.text() | st.sampled_from([made_standings.EVIL, "</script>", "<!--", "]]>", "a&amp;b", "\u2028", "${x}", "$data"])
)
@settings(max_examples=50, deadline=None)
def test_names_are_text(name):
    clean = escape.line(name)
    run = made_standings.spec("lora", task=name, note=name)
    text = page(made_standings.judged([made_standings.record(run, epochs=1)]))
    parts = Parts(text)
    assert parts.texts["h3"] == [clean, "Figures"]
    data = parts.texts["script"][0]
    assert not set(data) & set("<>&\u2028\u2029")
    assert json.loads(data)["tasks"]["section-0-task-0"]["task"] == clean
    assert [tag for tag, _ in parts.elements].count("script") == len(list(Path(page_module._FOLDER).glob("*.js"))) + 1


def _luminance(color):
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(a, b):
    high, low = sorted([_luminance(a), _luminance(b)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark):
    """WCAG 2.2: 4.5 for text, 3 for graphics; the marks of the figures keep to the former too."""
    style = (page_module._FOLDER / "page.css").read_text()
    colors = {name: pair[dark] for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)}
    assert len(colors) == 14
    for name in colors.keys() - {"page", "raised", "line"}:
        for ground in ("page", "raised"):
            assert _contrast(colors[name], colors[ground]) >= 4.5, (name, ground)


def test_no_heavy_import():
    heavy = ["torch", "transformers", "pandas", "matplotlib"]
    code = f"import sys, bench.report.html.page; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
