"""Nothing that a record holds is obeyed by what shows it: every text of it, in every output, for every payload."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import mocks
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.check.compare import Row
from bench.check.table import markdown as check_markdown
from bench.check.table import terminal as check_terminal
from bench.config import validate
from bench.config.spec import Spec
from bench.errors import BenchError, UsageError
from bench.execution import claims
from bench.execution.tracking import _flat
from bench.files import write_text
from bench.profiling import record as efficiency
from bench.records import store
from bench.records.schema import SCHEMA, Count, Ordinal, Record, dumps
from bench.report import profile_tables as costs
from bench.report.export.write import export
from bench.report.terminal import run_table
from bench.report.write import write_leaderboard
from bench.saved_adapters.model_card import card
from bench.tasks import draw
from bench.text import escape

HARMLESS = "plain"
PAYLOADS = [
    "\x1b[2J\x1b]0;t\x07",
    "\x9b31m \x7f",
    "\u202e\u2066\u200b\u200d\ufeff",
    "a\nb\r\nc\u2028d",
    "![x](http://e.org/i.png)",
    "[c](javascript:alert(1))",
    "[c]: http://e.org",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "&lt;b&gt; &#60;",
    "<!-- -->",
    "`code` ``` ~~~",
    "a | b \\| c \\",
    "**b** __i__ ~~s~~ $m$",
    "# h",
    "> q",
    "- [x] t",
    "1. one",
    "---",
    "=HYPERLINK(1)",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\uff1d1+1",
]


def filled(hint: Any, text: str) -> Any:
    """Return a value of a type in which every text, also every key, is `text`."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Record:
        return record(text)
    if dataclasses.is_dataclass(hint):
        return hint(**{name: filled(field_hint, text) for name, field_hint in validate.hints(hint).items()})
    if type(None) in args:
        return filled(args[0], text)
    if origin is dict:
        return {text: filled(args[1], text)}
    if origin is list:
        return [filled(args[0], text)]
    if origin is Literal:
        return args[0]
    if hint in (int, Count, Ordinal):
        return 1
    return {float: 1.0, bool: True}.get(hint, text)


def record(text: str, seed: int = 0, **changes: Any) -> Record:
    """Return a record of which every text that the schema allows is `text`, but for those that have another form."""
    spec = dataclasses.replace(
        filled(Spec, text),
        seed=seed,
        recipe=mocks.RECIPE | {text: text},
        streams={text: {"model": text, text: text}},
        data={"source": "generated", "version": 1, "seed": 0, "streams": [text], text: text},
    )
    parts = {name: filled(hint, text) for name, hint in validate.hints(Record).items()}
    parts |= {"schema": SCHEMA, "id": f"{seed:012x}", "spec": spec, "status": "ok", "adapter": "adapters/a"}
    parts["tuned"] = {"file": text, text: text}
    parts["scores"] = dataclasses.replace(parts["scores"], splits={"val": {text: 1.0}, text: {text: 1.0}})
    return Record(**parts | changes)


def efficiency_record(text: str) -> efficiency.Efficiency:
    spec = record(text).spec
    return dataclasses.replace(
        filled(efficiency.Efficiency, text), spec=spec, kind="efficiency", schema=efficiency.SCHEMA, id="a"
    )


def three_records(text: str) -> list[Record]:
    """Return two seeds that ended, and one that failed."""
    nothing = dict.fromkeys(("scores", "parameters", "memory", "throughput", "times", "data"))
    return [record(text), record(text, 1), record(text, 2, status="failed", **nothing)]


def outputs(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Everything that is shown of such records, by the kind and the name of the output."""
    folder.mkdir()
    for number, record in enumerate(three_records(text)):
        write_text(folder / store.FOLDER / f"{number}.json", dumps(record))
    write_text(folder / "efficiency/a.json", efficiency.dumps(efficiency_record(text)))
    claim = claims.Claim(**{name: filled(hint, text) for name, hint in validate.hints(claims.Claim).items()})
    write_text(folder / "claims/a.json", json.dumps(dataclasses.asdict(claim)))
    records = store.read_all(folder)
    assert len(records) == 3, "such records are readable"
    write_leaderboard(folder)
    for form in ("csv", "peft", "model-index"):
        export(folder, form)
    assert cli.main(["status", "--results", str(folder)]) == 0
    assert cli.main(["power", "--results", str(folder)]) == 1
    assert cli.main(["export", f"--format={text}", "--results", str(folder)]) == 2
    shown = capsys.readouterr()
    ((efficient),) = (efficiency.read_all(folder),)
    rows = [Row("exact", text, text, text, text, text, text, text, 2.0)]
    encoder = SimpleNamespace(name=text, is_path=False, on_hub=True, revision=text, weights="abc")
    return {
        "terminal runs": run_table(records),
        "terminal out": shown.out.replace(str(folder), "F"),
        "message err": shown.err.replace(str(folder), "F"),
        "terminal costs": costs.terminal(efficient),
        "terminal check": check_terminal(rows, show_all=True),
        "terminal error": str(BenchError(escape.line(text))) + UsageError([escape.line(text)]).problems[0],
        "markdown leaderboard": (folder / "leaderboard.md").read_text(),
        "markdown costs": costs.page(efficient),
        "markdown check": check_markdown(rows, [text]),
        "markdown card": card(records[0], folder, {text: encoder}).partition("\n---\n")[2],
        "yaml card": card(records[0], folder, {text: encoder}).partition("\n---\n")[0],
        "yaml index": next((folder / "model-index").glob("*.yaml")).read_text(),
        "json peft": next((folder / "peft").glob("*.json")).read_text(),
        "csv records": (folder / "records.csv").read_text(),
        "html page": (folder / "leaderboard.html").read_text(),
        "json tracking": json.dumps(_flat(dataclasses.asdict(records[0].spec)), ensure_ascii=False),
    }


class Tags(HTMLParser):
    """The elements of a page with the names of their attributes, and the links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.entries: list[Any] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = [(name, value) if name in ("href", "src") else name for name, value in attributes]
        self.entries.append((tag, named))

    def handle_comment(self, data: str) -> None:
        self.entries.append(("comment", data))


MARKS = [
    *(r"`", r"\*", r"~", r"\$", r"\|", r"\](?=[(\[:])", r"<(?=[A-Za-z/!?])", r"&(?=[A-Za-z#])"),
    *(r"(?<!\w)_|_(?!\w)", r"(?m)^(- )?#{1,6} ", r"(?m)^(- )?>", r"(?m)^- [-+] ", r"(?m)^- \d+[.)]"),
    *(r"(?m)^(- )?(-{2,}|=+)$", r"(?m)^- \[[ xX]\]"),
]


def structure(kind: str, text: str, payload: str) -> Any:
    """Return what a reader of the output makes of it besides its texts."""
    if kind == "message":  # of several lines
        return None
    if kind == "terminal":
        return text.count("\n")
    if kind == "markdown":
        plain = re.sub(r"(?ms)^```\w+$.*?^```$", "code", text)
        plain = re.sub(r"\\[!-/:-@\[-`{-~]", "x", plain)  # what is escaped begins nothing
        plain = plain.replace("&amp;" if "&" in payload else "&lt;", "x")
        return [text.count("\n"), *(len(re.findall(mark, plain)) for mark in MARKS)]
    if kind == "html":
        return Tags(text).entries
    if kind == "csv":
        cells = list(csv.reader(io.StringIO(text)))
        for cell in (cell for row in cells for cell in row):
            assert not re.match("[=+\\-@\t\r\uff1d]", cell) or re.fullmatch(r"-?\d+(\.\d+)?", cell), cell
        return [len(row) for row in cells]
    value = yaml.safe_load(text.removeprefix("---\n")) if kind == "yaml" else json.loads(text)
    return leaves(value)


def leaves(value: Any) -> int:
    """Values in lists and tables."""
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_record_holds_is_shown_and_not_obeyed(payload, tmp_path, capsys, harmless):
    if not harmless:
        for name, text in outputs(HARMLESS, tmp_path / "harmless", capsys).items():
            harmless[name] = structure(name.split()[0], text, HARMLESS)
    for name, text in outputs(payload, tmp_path / "results", capsys).items():
        kind = name.split()[0]
        hidden = {char for char in text if not (char.isprintable() or char == "\n")}
        assert not hidden, f"{name}: {hidden}"
        assert structure(kind, text, payload) == harmless[name], name


@pytest.mark.parametrize("payload", PAYLOADS)
def test_pictures_and_logs_show_it_too(payload, monkeypatch):
    drawn = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda self, place, words, **_: drawn.append(words))
    draw.text(payload, 480)
    assert all(words.isprintable() for words in drawn)
    record = logging.LogRecord("bench", logging.WARNING, "", 1, "left out: %s", (payload,), None)
    line = cli.printing.LogFormatter("%(message)s").format(record)
    assert line.replace("\n", "").isprintable()


def test_the_fields_are_those_of_the_schema():
    """So what is added to it is looked at too."""
    text = dumps(record("payload"))
    document = json.loads(text)
    for field in dataclasses.fields(Record):
        if field.type in ("str", "str | None") and field.name not in ("id", "adapter"):
            assert document[field.name] == "payload"
    for part in ("scores", "memory", "data", "environment", "provenance"):
        assert "payload" in json.dumps(document[part])


@pytest.mark.parametrize(
    ("cell", "written"),
    [("-5", "-5"), ("+1.5e-3", "+1.5e-3"), (-5, -5), (-0.5, -0.5), (None, None), ("-5+1", "'-5+1"), ("a=b", "a=b")],
)
def test_numbers_stay_numbers_in_a_table_for_spreadsheets(cell, written):
    assert escape.csv_cell(cell) == written


@given(st.text())
def test_markdown_keeps_what_was_meant(text):
    """Whoever takes the backslashes away has the text in one line again."""
    escaped = escape.markdown_block(text)
    back = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped).replace("&lt;", "<").replace("&amp;", "&")
    assert back == escape.line(text).replace("&lt;", "<").replace("&amp;", "&")
    assert escaped.isprintable()


@given(st.recursive(st.text() | st.floats(allow_nan=False) | st.none(), st.lists))
def test_json_holds_the_same(value):
    text = escape.json_text(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value and text.isprintable()
