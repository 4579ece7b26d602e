"""Files of the user that are not in UTF-8 are named, with the encoding or the line, and what to do."""

from __future__ import annotations

import pytest

from bench.check import baseline
from bench.config.suite import load_suite, read_toml
from bench.config.tuned_settings import read_tuned
from bench.datasets.user_data import read_user_data
from bench.errors import BenchError
from bench.files import read_json, read_text
from bench.profiling import record
from bench.saved_adapters import manifest
from bench.streams.sources import find_encoder

TEXT = 'a = 1\nb = "é"\n'
MARKED = "it is in UTF-16 or UTF-32: save it as UTF-8"
WRONG = {
    "utf-16": MARKED,
    "utf-16-le": MARKED,
    "utf-16-be": MARKED,
    "utf-32": MARKED,
    "latin-1": "line 2 has the byte 0xe9, which is not UTF-8: save the file as UTF-8",
    "cp437": "line 2 has the byte 0x82, which is not UTF-8: save the file as UTF-8",
}


@pytest.mark.parametrize("encoding", WRONG)
def test_another_encoding_is_told(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding=encoding)
    with pytest.raises(ValueError, match="save") as raised:
        read_text(path, 100)
    assert str(raised.value) == WRONG[encoding]
    path.write_text(TEXT, encoding="utf-8-sig")
    assert read_text(path, 100) == TEXT


def test_json_may_be_in_every_encoding_that_the_standard_has_had(tmp_path):
    path = tmp_path / "a.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        path.write_text('{"é": 1}', encoding=encoding)
        assert read_json(path, 100) == {"é": 1}
    path.write_text('{\n"é": 1}', encoding="latin-1")
    with pytest.raises(ValueError, match="line 2 has the byte 0xe9, which is not UTF-8: save"):
        read_json(path, 100)


READERS = {
    "s.toml": (lambda path: load_suite(str(path)), TEXT),
    "t.toml": (read_tuned, TEXT),
    "e.toml": (read_toml, TEXT),
    "d.csv": (lambda path: read_user_data(path, ["image", "label"]), "image,label\na.png,é\n"),
    "baseline.json": (baseline.read, '{\n"é": 1}'),
    "profile.json": (record.read, '{\n"é": 1}'),
    manifest.FILE: (lambda path: manifest.read_manifest(path.parent), '{\n"é": 1}'),
    "config.json": (lambda path: find_encoder(str(path.parent)), '{\n"é": 1}'),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_name_the_file(tmp_path, name):
    read, text = READERS[name]
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BenchError) as raised:
        read(path)
    assert str(tmp_path) in str(raised.value) and WRONG["latin-1"] in str(raised.value)
    if name != "config.json":  # which may be in UTF-16
        path.write_text(text, encoding="utf-16")
        with pytest.raises(BenchError, match=MARKED):
            read(path)
