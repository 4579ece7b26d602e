"""Messages about files that are missing or of another form, from the readers and from `verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from official import write_official

from bench.datasets import media
from bench.datasets.avsbench import Release as AvsBench
from bench.datasets.refavs import COLUMNS, Release
from bench.datasets.verify import verify
from bench.errors import DataError


def verified(name: str, root: Path, published: bool = False):
    return verify(name, root, lambda items, *_: items, published=published)


@pytest.mark.parametrize("name", ["avqa", "ave"])
def test_a_count_is_blamed_on_the_file_of_its_split(tmp_path, name):
    root = write_official(tmp_path / name, name)
    faults = [fault.text for fault in verified(name, root, published=True).faults if "split val:" in fault.text]
    assert faults and all(Path(fault.partition(": ")[0]).name in ("avqa-val.json", "valSet.txt") for fault in faults)


@pytest.mark.parametrize("name", ["ave", "avs", "avs_ms3", "refcoco", "refavs", "avqa", "natural"])
def test_verify_names_its_option_for_a_folder_without_a_release(tmp_path, name):
    (fault,) = verified(name, tmp_path).faults
    assert fault.kind == "missing files" and "`bench data`: --root" in fault.text


@pytest.mark.parametrize("content", ["[{", "[]", "{}", '["\\udc00'])
def test_only_what_is_missing_is_called_missing(tmp_path, content):
    root = write_official(tmp_path / "avqa", "avqa")
    (root / "json/avqa-val.json").write_text(content)
    (fault,) = verified("avqa", root).faults
    assert fault.kind == "files that cannot be used"
    (root / "json/avqa-val.json").unlink()
    (fault,) = verified("avqa", root).faults
    assert fault.kind == "missing files" and fault.text.endswith("avqa-val.json: the file is missing")


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("", "the first line is empty"),
        ("\nx\n", "the first line is empty"),
        (";".join(COLUMNS), "has vid;uid;split;fid;exp; columns must be separated by commas, not by semicolons"),
        ("\t".join(COLUMNS), "columns must be separated by commas, not by tabs"),
    ],
)
@pytest.mark.parametrize(("reader", "table"), [(Release, "metadata.csv"), (AvsBench, "s4_meta_data.csv")])
def test_an_empty_table_or_another_separator_is_told(tmp_path, reader, table, content, ending):
    (tmp_path / table).write_text(content)
    with pytest.raises(DataError, match=r"is missing: the first line ") as caught:
        reader(tmp_path, "train")
    assert str(caught.value).endswith(ending)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "null"), (True, "true"), (["a"], "a list"), ({"a": 1}, "an object")]
)
def test_values_are_named_in_the_words_of_json(tmp_path, content, message):
    root = write_official(tmp_path / "avqa", "avqa")
    path = root / "json/avqa-val.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "question_content": content}, *entries]))
    (fault,) = verified("avqa", root).faults
    assert f"question_content is {message}, expected text" in fault.text


def test_a_broken_recording_is_named_once(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(DataError) as caught:
        media.read_audio(tmp_path / "a.wav", "a", 16_000)
    assert str(caught.value) == f"sample a: audio {tmp_path}/a.wav cannot be read: Format not recognised."
