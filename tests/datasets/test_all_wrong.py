"""If no entry of a file can be used, the message tells what is wrong with the first one, and of how many."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from official import write_official

from bench.datasets import ave, avqa, avsbench, refavs
from bench.datasets.verify import verify
from bench.errors import DataError


def entries_without_answers(root: Path) -> None:
    for path in (root / "json").iterdir():
        entries = [{**entry, "answer": entry["anser"]} for entry in json.loads(path.read_text())]
        path.write_text(json.dumps([{key: entry[key] for key in entry if key != "anser"} for entry in entries]))


def numbers(root: Path) -> None:
    (root / "json/avqa-train.json").write_text("[1, 2]")


def other_answers(root: Path) -> None:
    path = root / "json/avqa-val.json"
    path.write_text(json.dumps([{**entry, "anser": "a harp"} for entry in json.loads(path.read_text())]))


def replaced(file: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = next(root.rglob(file))
        path.write_bytes(re.sub(old, new, path.read_bytes()))

    return change


READERS = {"ave": ave.Release, "avs": avsbench.Release, "avqa": avqa.Release, "refavs": refavs.Release}
CHANGES = [
    ("avqa", entries_without_answers, r"none of \d+ questions can be used; the first: entry 1, .*the key anser"),
    ("avqa", numbers, "none of 2 questions can be used; the first: entry 1: expected an object"),
    ("avqa", other_answers, r"val\.json: none of \d+ questions can be used; the first: question .* 'a harp' is not"),
    (
        "refavs",
        replaced("metadata.csv", rb"(,\w+)(,\d)", rb"\1x\2"),
        "none of 24 .*; the first: line 2: split: expected",
    ),
    ("avs", replaced("*.csv", rb"(train|val|test)\r", rb"x\r"), "none of 6 videos can be used; the first: line 2: "),
    ("ave", replaced("Annotations.txt", b"&good&", b"&"), "none of 7 events can be used; the first: line 1: expected"),
    ("ave", replaced("valSet.txt", b"^", b"Whale "), "none of 1 events can be used; the first: video val.*'Whale "),
]


@pytest.mark.parametrize(("name", "change", "message"), CHANGES)
def test_the_first_of_all_wrong_entries_is_told(tmp_path, name, change, message):
    root = write_official(tmp_path / name, name)
    change(root)
    with pytest.raises(DataError, match=message):
        for split in ("train", "val"):
            READERS[name](root, split, problems=[])
    report = verify(name, root, lambda items, *_: items, published=False)
    assert [fault for fault in report.faults if re.search(message, fault.text)], report.text()
