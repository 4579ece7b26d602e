"""TOML that nests deeply is refused before it is parsed, and dots that are no nesting are not taken for it."""

from __future__ import annotations

import tracemalloc

import pytest

from bench.config import toml
from bench.config.plan import RunRequest, make_plan
from bench.config.suite import load_suite, parse_value
from bench.errors import UsageError

DEEP = {
    "a key": ".".join(["a"] * 2000) + " = 1",
    "a key with spaces": " . ".join(["a"] * 2000) + " = 1",
    "a key in quotes": ".".join(['"a"'] * 2000) + " = 1",
    "a key in quotes that hold quotes": ".".join([r'"\""'] * 2000) + " = 1",
    "a key in single quotes": ".".join(["'#'"] * 2000) + " = 1",
    "a header": "[" + ".".join(["a"] * 2000) + "]",
    "a list of tables": "[[" + ".".join(["a"] * 2000) + "]]",
    "a table in a line": "x = {" + ".".join(["a"] * 2000) + " = 1}",
    "after texts that end in quotes": 'x = ["""a"""","""b"""]\n' + ".".join(["a"] * 2000) + ' = 1\ny = """c"""',
    "after texts that end in single quotes": "x = ['''a''''','''b''']\n" + ".".join(["a"] * 2000) + " = 1\ny = '''c'''",
    "after a text of quotes": 'x = """"""""\n' + ".".join(["a"] * 2000) + ' = 1\ny = """c"""',
    "after a text": 'x = """\n"#""" # "\n' + ".".join(["a"] * 2000) + " = 1",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_key_of_many_parts_takes_no_memory(text, tmp_path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="a key has more than 32 parts"):
            toml.parse(text)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UsageError, match=r"a\.toml is not a readable TOML file: a key has more than 32 parts"):
        load_suite(str(tmp_path / "a.toml"))


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{a = " * 5000])
def test_lists_and_tables_in_one_another_are_reported(text):
    with pytest.raises(ValueError, match="too deep"):
        toml.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a = 1 # " + "b." * 2000, 1),
        ('a = "' + "b." * 2000 + '"', "b." * 2000),
        ("a = '" + "b." * 2000 + "'", "b." * 2000),
        ('a = """\n' + 'b."\n' * 2000 + '"""', 'b."\n' * 2000),
        ("a = '''\n" + "b.'\n" * 2000 + "'''", "b.'\n" * 2000),
        ("a = [" + "1.5," * 2000 + "]", [1.5] * 2000),
        ("a = [\n" + "1.5,\n" * 2000 + "]", [1.5] * 2000),
        (".".join("b" * 32) + " = 1\n" * 1 + "a = 2", 2),
    ],
)
def test_dots_that_are_no_nesting_are_read(text, value):
    assert toml.parse(text)["a"] == value


def test_what_the_command_line_sets_is_bounded_too():
    deep = ".".join(["a"] * 2000)
    for value in (f"{{{deep} = 1}}", "[" * 5000):
        assert parse_value(value) == value
    with pytest.raises(UsageError, match="a key has at most 200 characters") as raised:
        make_plan(RunRequest("mini", ["lora"], ["ave"], [0], [f"{deep}=1"]))
    assert len(str(raised.value)) < 500


def test_a_file_that_is_wrong_in_every_line_is_reported_briefly(tmp_path):
    (tmp_path / "a.toml").write_text("".join(f"a{number} = 1\n" for number in range(2000)))
    with pytest.raises(UsageError, match="there may be more") as raised:
        load_suite(str(tmp_path / "a.toml"))
    assert len(raised.value.problems) < 70
